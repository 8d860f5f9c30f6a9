"""Waiting longer after each failure in a row, with jitter so that tasks do not come back together."""

import random


class BackOff:
    """Delays that double from `first_seconds` to `most_seconds`, each shortened by up to half."""

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many failures there were in a row."""
        return self._failures

    def failed(self) -> float:
        """Counts a failure; returns how long to wait (seconds)."""
        delay: float = min(self._most, self._first * 2 ** min(self._failures, 30))
        self._failures += 1
        return delay * random.uniform(0.5, 1.0)

    def worked(self) -> None:
        """Starts again from the shortest delay."""
        self._failures = 0
