"""A series that grows is judged as growth, a flat one is not, however noisy."""

import random
from collections.abc import Sequence

import pytest

from tests.soak.growth import LEAST_ROUNDS, MAX_GROWTH, growing, growth

FLAT = {"MiB": 70.0, "files": 30.0, "threads": 42.0}


def series(name: str, values: Sequence[float]) -> list[dict[str, float]]:
    return [{**FLAT, name: value} for value in values]


def noisy(more: float, *, noise: float = 1.0, count: int = 40) -> list[float]:
    """A series that grows by `more`, with noise around it."""
    dice = random.Random(7)
    return [70 + more * index / count + dice.uniform(-noise, noise) for index in range(count)]


@pytest.mark.parametrize("name", list(MAX_GROWTH))
def test_what_grows_is_named_and_what_is_flat_is_not(name: str) -> None:
    assert growing(series(name, noisy(0))) == []
    [grown] = growing(series(name, noisy(3 * MAX_GROWTH[name]))) or []
    assert grown.startswith(f"{name} grew by ")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([min(70.0, 10.0 + 6 * index) for index in range(40)], id="only at the start"),
        pytest.param([70.0] * 38 + [500.0, 70.0], id="a single peak"),
        pytest.param(noisy(-50), id="falls"),
    ],
)
def test_a_start_a_peak_and_a_fall_are_no_growth(values: list[float]) -> None:
    assert growth(values) <= 0
    assert growing(series("MiB", values)) == []


def test_a_few_rounds_are_not_judged() -> None:
    assert growing(series("MiB", noisy(90, count=LEAST_ROUNDS - 1))) is None
