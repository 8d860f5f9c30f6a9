"""Waiting longer after each failure in a row, and repeating a call until it works."""

import math
import random
from collections.abc import Callable
from typing import TypeVar

_MAX_DOUBLINGS = 64  # beyond it every limit is reached, and a float would overflow

T = TypeVar("T")


def full_delay_seconds(
    failures: int, *, first_seconds: float, most_seconds: float = math.inf, factor: float = 2
) -> float:
    """The delay after a number of failures in a row, before jitter.

    Args:
        failures: at least 1; the first one is followed by the shortest delay.
        first_seconds: the shortest delay.
        most_seconds: the longest delay.
        factor: how much longer each delay is than the one before.
    """
    return float(min(most_seconds, first_seconds * factor ** min(failures - 1, _MAX_DOUBLINGS)))


def jittered(seconds: float) -> float:
    """A random part of a delay, from half of it to all of it, so that tasks do not come back together."""
    return random.uniform(shortest(seconds), seconds)


def shortest(seconds: float) -> float:
    """The least that jitter leaves of a delay."""
    return seconds / 2


class BackOff:
    """Delays that grow with each failure in a row, with jitter.

    Args:
        first_seconds: the shortest delay before jitter.
        most_seconds: the longest delay before jitter.
        factor: how much longer each delay is than the one before.
        jitter: shortens a delay.
    """

    def __init__(
        self,
        first_seconds: float,
        most_seconds: float = math.inf,
        *,
        factor: float = 2,
        jitter: Callable[[float], float] = jittered,
    ) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._factor = factor
        self._jitter = jitter
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many failures there were in a row."""
        return self._failures

    def failed(self) -> float:
        """Counts a failure; returns how long to wait (seconds)."""
        self._failures += 1
        return self._jitter(
            full_delay_seconds(
                self._failures,
                first_seconds=self._first,
                most_seconds=self._most,
                factor=self._factor,
            )
        )

    def worked(self) -> None:
        """Starts again from the shortest delay."""
        self._failures = 0


def short_back_off() -> BackOff:
    """For a call that a caller waits for: 0.2 s, four times as long after each failure."""
    return BackOff(0.2, factor=4)


def retry(
    attempt: Callable[[], T],
    *,
    on: type[Exception] | tuple[type[Exception], ...],
    tries: int,
    wait: Callable[[float], object],
    back_off: BackOff | None = None,
    on_retry: Callable[[Exception], object] = lambda _error: None,
) -> T:
    """Repeats a call until it works.

    Args:
        attempt: the call.
        on: the errors after which it is repeated; others are raised at once.
        tries: how many attempts there are at most.
        wait: waits for a number of seconds; true if the caller must stop, like `Event.wait`.
        back_off: the delays; `short_back_off()` if left out.
        on_retry: called with an error that came twice or more in a row, before the next attempt.

    Returns:
        What the first successful attempt returns.

    Raises:
        Exception: the last attempt's, if none worked or `wait` ended the tries.
    """
    delays = back_off or short_back_off()
    while True:
        try:
            return attempt()
        except on as error:
            delay = delays.failed()
            if delays.failures >= tries:
                raise
            if delays.failures > 1:
                on_retry(error)
            if wait(delay):
                raise
