"""Judges whether what a task takes grows from round to round."""

from collections.abc import Mapping, Sequence
from statistics import median

LEAST_ROUNDS = 8
"""Two in each quarter: medians of fewer say nothing."""

MAX_GROWTH: Mapping[str, float] = {"MiB": 8.0, "files": 8.0, "threads": 2.0}
"""From the second quarter to the last. Caches fill and heaps breathe, a leak would not stop; `make bench`
has the same limit. A client's pool opens another connection when calls happen to coincide, and keeps it."""


def growth(values: Sequence[float]) -> float:
    """How much the median of a series grew from its second quarter to its last; the first is the start."""
    quarter = len(values) / 4
    return median(values[round(3 * quarter) :]) - median(values[round(quarter) : round(2 * quarter)])


def growing(uses: Sequence[Mapping[str, float]]) -> list[str] | None:
    """What grew by more than its limit, each thing as a sentence; None if there are too few rounds to tell.

    Args:
        uses: what the tasks take after each round, by the names in `MAX_GROWTH`.
    """
    if len(uses) < LEAST_ROUNDS:
        return None
    grown = {name: growth([use[name] for use in uses]) for name in MAX_GROWTH}
    return [
        f"{name} grew by {more:.1f} (at most {MAX_GROWTH[name]:g})"
        for name, more in grown.items()
        if more > MAX_GROWTH[name]
    ]
