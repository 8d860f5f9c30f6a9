"""Delays grow with each failure and stay within their limit; a call is repeated only where that can help."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.backoff import BackOff, full_delay_seconds, jittered, retry, short_back_off


class Service:
    """Fails by plan, and notes how long its caller waits."""

    def __init__(self, *errors: Exception, stop_after: int | None = None) -> None:
        self.errors = list(errors)
        self.waits: list[float] = []
        self._stop_after = stop_after

    def attempt(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) == self._stop_after


def test_delays_double_up_to_the_limit_and_start_again_after_a_success() -> None:
    back_off = BackOff(0.5, 3.0, jitter=lambda seconds: seconds)
    assert [back_off.failed() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert back_off.failures == 5
    back_off.worked()
    assert (back_off.failures, back_off.failed()) == (0, 0.5)


@given(st.integers(1, 10**6), st.floats(0.01, 10), st.floats(0.01, 1_000), st.sampled_from([2, 4]))
def test_a_delay_never_exceeds_its_limit(failures: int, first: float, most: float, factor: float) -> None:
    delay = full_delay_seconds(failures, first_seconds=first, most_seconds=most, factor=factor)
    assert 0 < delay <= most


@given(st.floats(0, 1e6))
def test_jitter_leaves_at_least_half(seconds: float) -> None:
    assert seconds / 2 <= jittered(seconds) <= seconds


def test_the_short_back_off_has_no_limit_and_grows_fourfold() -> None:
    back_off = short_back_off()
    assert all(low <= back_off.failed() <= 2 * low for low in (0.1, 0.4, 1.6))
    assert math.isfinite(back_off.failed())


def test_a_call_is_repeated_until_it_works() -> None:
    service = Service(OSError(), OSError())
    back_off = BackOff(1.0, jitter=lambda seconds: seconds)
    assert retry(service.attempt, on=OSError, tries=3, wait=service.wait, back_off=back_off) == "answer"
    assert service.waits == [1.0, 2.0]


def test_after_the_last_try_its_error_is_raised_without_a_wait() -> None:
    service = Service(OSError(1), OSError(2), OSError(3))
    with pytest.raises(OSError, match="2"):
        retry(service.attempt, on=(OSError, ValueError), tries=2, wait=service.wait)
    assert len(service.waits) == 1


def test_an_error_that_a_repeat_cannot_help_is_raised_at_once() -> None:
    service = Service(ValueError())
    with pytest.raises(ValueError):  # noqa: PT011 - its type is all there is
        retry(service.attempt, on=OSError, tries=3, wait=service.wait)
    assert service.waits == []


def test_a_stop_ends_the_tries() -> None:
    service = Service(OSError(1), OSError(2), stop_after=1)
    with pytest.raises(OSError, match="1"):
        retry(service.attempt, on=OSError, tries=3, wait=service.wait)
