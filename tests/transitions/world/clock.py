"""Simulated time: each task's thread has its own place in it, and calls move that place forward."""

from collections.abc import Callable
from datetime import UTC, datetime

EPOCH = 1_900_000_000.0
"""Unix seconds at second 0 of a world."""


class SimulatedClock:
    """The time of whatever runs at the moment.

    A step begins at the time when it was due and moves the time forward by what its calls take. The world
    sets the time back for the next step, if that was due earlier: it ran at the same time, in another thread.
    """

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        """Seconds since the world began."""
        return self.time

    def unix(self) -> float:
        """Unix seconds."""
        return EPOCH + self.time

    def utc(self, off_by_seconds: float = 0.0) -> Callable[[], datetime]:
        """A wall clock that is wrong by a number of seconds."""
        return lambda: datetime.fromtimestamp(EPOCH + self.time + off_by_seconds, UTC)

    def advance(self, seconds: float) -> None:
        """Lets time pass for the step that runs."""
        self.time += seconds
