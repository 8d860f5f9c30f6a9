"""Plots of series in plain text: columns of blocks from zero up, so that a flat series looks flat."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:#"
"""For outputs that cannot show blocks."""


def plot(values: Sequence[float], *, rows: int, width: int, steps: str = BLOCKS) -> list[str]:
    """The rows of a plot, the uppermost first.

    Args:
        values: evenly spaced, none negative. One that is not a number leaves its column empty.
        rows: how many lines.
        width: the most columns; of more values than that, several share a column by their mean.
        steps: characters that fill a cell more and more, from nothing to all.
    """
    columns = _columns(values, width)
    top = max((value for value in columns if not math.isnan(value)), default=0.0)
    full = len(steps) - 1
    heights = [_height(value, top, rows * full) for value in columns]
    return [
        "".join(steps[min(full, max(0, height - row * full))] for height in heights).rstrip()
        for row in reversed(range(rows))
    ]


def _columns(values: Sequence[float], width: int) -> list[float]:
    count = min(width, len(values))
    bounds = [len(values) * number // count for number in range(count + 1)] if count else []
    return [_mean(values[low:high]) for low, high in pairwise(bounds)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else math.nan


def _height(value: float, top: float, most: int) -> int:
    """In steps; what is more than nothing shows."""
    if math.isnan(value) or value <= 0:
        return 0
    return max(1, round(value / top * most))
