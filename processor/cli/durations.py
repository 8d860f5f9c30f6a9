"""Points in the past as a person types them: a duration before now, or a timestamp."""

import re
from datetime import datetime, timedelta

from handlers.timestamps import parse_timestamp

_DURATION = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime) -> datetime:
    """Reads a point in the past.

    Args:
        text: a duration before now (`90s`, `15m`, `2h`, `1d`), or an RFC 3339 timestamp.
        now: our clock.

    Returns:
        The point, with a time zone.

    Raises:
        ValueError: with the broken rule as a sentence.
    """
    ago = _DURATION.fullmatch(text)
    try:
        point = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else parse_timestamp(text)
    except (ValueError, OverflowError):
        raise ValueError("must be a duration such as 15m, 2h or 1d, or an RFC 3339 timestamp") from None
    if point > now:
        raise ValueError("must not lie in the future")
    return point
