"""The forms of timestamps, and bodies that are no events at all."""

import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from processor.demo.scenario import signed_url

Event = Mapping[str, Any]


def milliseconds(moment: datetime) -> datetime:
    """The instant without its microseconds."""
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def written(moment: datetime, dice: random.Random) -> str:
    """The instant in one of the forms that RFC 3339 has for it."""
    moment = milliseconds(moment)
    match dice.randrange(5):
        case 0:
            there = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
            return there.isoformat(timespec="milliseconds")
        case 1:
            return (moment + timedelta(microseconds=dice.randrange(1_000))).isoformat(timespec="microseconds")
        case _:
            return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03d}Z"


def _broken(**changes: Any) -> Callable[[random.Random], str]:
    """An event with something wrong in it; a field that is None is left out."""

    def body(dice: random.Random) -> str:
        event = {
            "requestId": f"poison-{dice.randrange(10**9)}",
            "status": "completed",
            "occurredAt": "2026-01-01T10:00:00Z",
            "createdAt": "2026-01-01T10:00:00Z",
        } | changes
        return json.dumps({name: value for name, value in event.items() if value is not None})

    return body


POISON: tuple[Callable[[random.Random], str], ...] = (
    lambda dice: f"export finished, see {signed_url(dice, 'lost.csv')}",
    lambda _: "[1, 2, 3]",
    lambda _: '{"requestId": "a", "requestId": "b", "status": "pending"}',
    lambda _: '{"requestId": "\\ud800", "status": "pending", "occurredAt": "2026-01-01T10:00:00Z"}',
    lambda _: json.dumps({"Type": "Notification", "Message": "not an event"}),
    _broken(requestId=None),
    _broken(requestId=""),
    _broken(requestId="x" * 257),
    _broken(status="done"),
    _broken(status=None),
    _broken(occurredAt="yesterday"),
    _broken(occurredAt=1_767_261_600),
    _broken(occurredAt="2999-01-01T10:00:00Z"),
    _broken(createdAt="2026-01-01T10:06:00Z"),
    _broken(status="processing", signedUrl="https://exports.example.com/a?b=c"),
    _broken(error="only a failed one may have this"),
    _broken(signedUrl="https://exports.example.com/" + "a" * 8_200),
    _broken(fileName="n" * 1_025),
)
