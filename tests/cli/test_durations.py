"""Moments that options name."""

from datetime import UTC, datetime, timedelta

import pytest

from processor.cli.durations import moment


def test_moments_are_durations_or_timestamps_in_the_past() -> None:
    now = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert moment("90s", now) == now - timedelta(seconds=90)
    assert moment("15m", now) == now - timedelta(minutes=15)
    assert moment("2h", now) == now - timedelta(hours=2)
    assert moment("1d", now) == now - timedelta(days=1)
    assert moment("2026-11-22T10:30:00+01:00", now) == now - timedelta(minutes=30)
    assert moment("1.5h", now) == now - timedelta(minutes=90)
    for wrong in ("", "15", "m", "-1h", "999999d", "2026-11-22", "1\u0661m"):
        with pytest.raises(ValueError, match="duration such as"):
            moment(wrong, now)
    with pytest.raises(ValueError, match="future"):
        moment("2026-11-22T10:00:01Z", now)
