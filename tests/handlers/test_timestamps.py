"""Timestamps: RFC 3339 in, UTC milliseconds out, truncated before anything is compared."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.timestamps import format_timestamp, from_epoch_seconds, parse_timestamp


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000Z"),
        ("2026-11-22t10:00:00z", "2026-11-22T10:00:00.000Z"),
        ("2026-11-22 10:00:00Z", "2026-11-22T10:00:00.000Z"),
        ("2026-11-22T10:00:00.2Z", "2026-11-22T10:00:00.200Z"),
        ("2026-11-22T10:00:00.999999999999Z", "2026-11-22T10:00:00.999Z"),
        ("2026-11-22T11:30:00.123456+01:30", "2026-11-22T10:00:00.123Z"),
        ("2026-11-22T00:00:00-10:00", "2026-11-22T10:00:00.000Z"),
        ("2026-11-22T10:00:00-00:00", "2026-11-22T10:00:00.000Z"),
        ("2026-06-30T23:59:60Z", "2026-06-30T23:59:59.999Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_any_rfc_3339_form_is_read_and_truncated_to_milliseconds(text: str, meaning: str) -> None:
    assert format_timestamp(parse_timestamp(text)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-11-22T10:00Z",
        "2026-11-22T10:00:00,5Z",
        "2026-11-22T10:00:00.Z",
        "2026-11-22T10:00:00+0100",
        "2026-11-22T10:00:00+24:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T10:60:00Z",
        "2026-11-22T10:00:61Z",
        "2026-11-22T10:00:00Z\n",
        " 2026-11-22T10:00:00Z",
        "20261122T100000Z",
        "1763805600",
        "\uff12\uff10\uff12\uff16-11-22T10:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00.000Z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_everything_else_is_refused_with_the_rule_and_without_the_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as refused:
        parse_timestamp(text)
    assert not text or text.strip() not in str(refused.value)


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),  # noqa: DTZ001 - hypothesis adds the time zone
        max_value=datetime(9998, 12, 31),  # noqa: DTZ001
        timezones=st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_what_isoformat_writes_is_read_as_the_same_instant_cut_to_milliseconds(instant: datetime) -> None:
    parsed = parse_timestamp(instant.isoformat(timespec="microseconds"))
    assert parsed == instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)
    assert parsed.tzinfo is UTC
    assert parse_timestamp(format_timestamp(instant)) == parsed


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own time is nine hours ahead."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_the_machine_s_own_time_zone_has_no_say() -> None:
    parsed = parse_timestamp("2026-11-22T12:00:00.250+02:00")
    assert (parsed, parsed.tzinfo) == (datetime(2026, 11, 22, 10, 0, 0, 250_000, tzinfo=UTC), UTC)
    assert format_timestamp(parsed) == "2026-11-22T10:00:00.250Z"


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2))
def test_formatted_timestamps_sort_as_their_instants(pair: list[datetime]) -> None:
    first, second = (parse_timestamp(format_timestamp(instant)) for instant in pair)
    assert (format_timestamp(first) < format_timestamp(second)) == (first < second)


def test_unix_seconds_outside_the_calendar_are_a_value_error() -> None:
    assert from_epoch_seconds(0.25) == datetime(1970, 1, 1, microsecond=250_000, tzinfo=UTC)
    for seconds in (1e12, -1e12, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"^must be Unix seconds between the years 1 and 9999$"):
            from_epoch_seconds(seconds)
