"""Time as the pipeline sees it: its clocks, its chance, and how long it waits before it tries again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Every source of time and chance. A simulated world replaces all of them.

    Args:
        now: the wall clock; decides what has expired.
        monotonic: seconds for deadlines and pauses; never jumps.
        random: for jitter.
    """

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=Random)

    def jitter(self, seconds: float) -> float:
        """A pause of at most these seconds and at least half of them, so that tasks spread out."""
        return seconds * self.random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the pipeline waits after failures, in seconds. Tests shorten these."""

    receive_back_off_seconds: float = 0.5  # after the first failed receive, then doubled
    receive_back_off_most_seconds: float = 30.0
    breaker_pause_seconds: float = 1.0  # before the first probe of a table that is down, then doubled
    breaker_pause_most_seconds: float = 30.0
    breaker_look_seconds: float = 0.5  # how often a receiver asks whether polling goes on
    table_retry_seconds: float = 0.1  # before the second try of a DynamoDB call, then four times as long
    queue_retry_seconds: float = 0.2  # before the second try of an SQS call, then four times as long
