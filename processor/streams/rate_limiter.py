"""Turns for a kind of call that all threads of a task together must not make too often."""

import random
import threading
import time
from collections.abc import Callable

LISTING_SECONDS = 1.0
"""The shortest time between two turns for DescribeStream, which everybody may call ten times a second."""


class RateLimiter:
    """Gives a turn to the first that asks, then none for a while that differs by chance."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes the shortest time between two turns; the longest is half as much again."""
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._next = float("-inf")

    def take(self) -> float:
        """Takes a turn if there is one.

        Returns:
            0 if the turn is the caller's; otherwise how long until the next one (seconds).
        """
        with self._lock:
            now = self._clock()
            if now < self._next:
                return self._next - now
            self._next = now + random.uniform(self.seconds, 1.5 * self.seconds)
            return 0.0
