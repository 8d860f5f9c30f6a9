"""Timestamps as the contract writes them: RFC 3339 in, UTC milliseconds with `Z` out."""

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ]((?:[01]\d|2[0-3]):[0-5]\d):([0-5]\d|60)(?:\.(\d+))?"
    r"([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
# What most producers send needs none of the care that the others do.
_OUR_FORM = re.compile(r"\d{4}-\d{2}-\d{2}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z", re.ASCII)
_NO_SUCH_DATE = "must be a date that exists, between the years 1 and 9999 in UTC"


def parse_timestamp(text: str) -> datetime:
    """Reads an RFC 3339 timestamp and truncates it to milliseconds (docs/contract.md, section 2).

    A leap second (`:60`) stands for the last millisecond of its minute, so that order is kept.

    Args:
        text: for example `2026-11-22T11:00:00.123456+01:00`.

    Returns:
        The instant as an aware datetime in UTC.

    Raises:
        ValueError: with the broken rule as a sentence without the value.
    """
    if _OUR_FORM.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(_NO_SUCH_DATE) from None
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("must be an RFC 3339 timestamp with an offset or Z")
    day, minute, second, fraction, offset = match.groups()
    millis = (fraction or "")[:3].ljust(3, "0")
    if second == "60":
        second, millis = "59", "999"
    try:
        return datetime.fromisoformat(f"{day}T{minute}:{second}.{millis}{offset.upper()}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(_NO_SUCH_DATE) from None


def format_timestamp(instant: datetime) -> str:
    """The contract's form of an aware datetime: `2026-11-22T10:00:00.000Z`, truncated to milliseconds."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def normalize_timestamp(text: str) -> str:
    """The contract's form of any RFC 3339 timestamp.

    Raises:
        ValueError: as `parse_timestamp` does.
    """
    instant = parse_timestamp(text)
    return text if _OUR_FORM.fullmatch(text) else format_timestamp(instant)


def from_epoch_seconds(seconds: float) -> datetime:
    """An aware UTC datetime for Unix seconds.

    Raises:
        ValueError: if the number lies outside the years 1 to 9999.
    """
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise ValueError("must be Unix seconds between the years 1 and 9999") from None
