"""A plot is as wide and as high as asked for, shows a flat series flat, and needs no number to be there."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tests.soak.plotting import ASCII, BLOCKS, plot


def test_a_flat_series_fills_every_row() -> None:
    assert plot([5.0] * 4, rows=2, width=10) == ["████", "████"]


def test_a_series_rises_from_zero_to_its_highest_value() -> None:
    assert plot([0, 1, 2, 3, 4, 5, 6, 7, 8], rows=1, width=20) == [" ▁▂▃▄▅▆▇█"]
    assert plot([0, 4, 8, 12, 16], rows=2, width=20) == ["   ▄█", " ▄███"]


def test_a_small_value_shows_next_to_a_large_one() -> None:
    assert plot([1, 10_000], rows=1, width=10) == ["▁█"]


def test_more_values_than_columns_share_them_by_their_mean() -> None:
    assert plot([0, 8, 8, 8, 0, 0], rows=1, width=3) == ["▄█"]


def test_what_was_not_measured_leaves_its_column_empty() -> None:
    assert plot([8.0, math.nan, 8.0], rows=1, width=10) == ["█ █"]
    assert plot([math.nan] * 3, rows=2, width=10) == ["", ""]
    assert plot([], rows=2, width=10) == ["", ""]


def test_an_output_without_blocks_gets_ascii() -> None:
    [row] = plot([0, 1, 2, 3], rows=1, width=10, steps=ASCII)
    assert row == " .:#"
    assert row.isascii()


@given(
    st.lists(st.floats(min_value=0, max_value=1e12) | st.just(math.nan), max_size=300),
    st.integers(1, 4),
    st.integers(1, 80),
)
def test_any_series_fits_into_its_place(values: list[float], rows: int, width: int) -> None:
    drawn = plot(values, rows=rows, width=width)
    assert len(drawn) == rows
    assert all(len(row) <= width and set(row) <= set(BLOCKS) for row in drawn)
