"""Durations and points in the past as a person types them."""

import re
from datetime import UTC, datetime, timedelta

from handlers.timestamps import parse_timestamp

_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Reads a duration such as `300ms`, `5s`, `15m`, `2h` or `1.5d`.

    Raises:
        ValueError: if the text is something else.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("must be a duration such as 5s")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def moment(text: str, now: datetime | None = None) -> datetime:
    """Reads a point in the past.

    Args:
        text: a duration before now (`90s`, `15m`, `2h`, `1d`), or an RFC 3339 timestamp.
        now: our clock; left out: the time of the call.

    Returns:
        The point, with a time zone.

    Raises:
        ValueError: with the broken rule as a sentence.
    """
    now = now or datetime.now(UTC)
    try:
        point = now - duration(text) if _DURATION.fullmatch(text) else parse_timestamp(text)
    except (ValueError, OverflowError):
        raise ValueError("must be a duration such as 15m, 2h or 1d, or an RFC 3339 timestamp") from None
    if point > now:
        raise ValueError("must not lie in the future")
    return point
