"""The messages of the demo's producers: realistic exports with all the faults of practice.

Pure: the same seed and start give the same messages.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from handlers.export import ttl_of
from handlers.timestamps import format_timestamp

MIN_TTL_SECONDS = 5
"""Below it, most exports would end before their last event."""

EVENTS_PER_SECOND = 30
"""What an emulator on a small machine can handle without a backlog."""

STEPS_PER_TTL = 12
MAX_STEP_SECONDS = 2.0
LATE_SECONDS = 1.0  # from the end of an export to its late event

Event = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sending:
    """One message, and when it is sent."""

    at: datetime
    body: str
    event: Event | None
    """The event in the body, without its envelope; None where the body is not a valid event."""
    rejected_as: str | None = None
    """The outcome with which it must be dead-lettered; None: it must not be."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One event of an export. Times are in steps after its request.

    Attributes:
        status: the event's status.
        at: when it is sent at the earliest.
        spread: how much later it is sent at the latest.
        occurred: when it occurred, if that is not when it is sent.
        created: whether it carries createdAt.
        repeats: seconds after which it is sent again.
        rejected_as: the outcome with which it must be dead-lettered.
    """

    status: str
    at: float = 0
    spread: float = 0
    occurred: float | None = None
    created: bool = True
    repeats: Sequence[float] = ()
    rejected_as: str | None = None


_AFTER_ITS_END = math.inf
_REQUEST, _PENDING = _Step("pending", created=False), _Step("pending")
_PROCESSING, _COMPLETED = _Step("processing", 0.5, spread=1), _Step("completed", 2, spread=2)
_FAILED = _Step("failed", 2, spread=2)
_COURSES: Mapping[str, tuple[int, Sequence[_Step]]] = {
    "completes": (9, [_REQUEST, _PROCESSING, _COMPLETED]),
    "fails": (4, [_PENDING, _PROCESSING, _FAILED]),
    "never finishes": (2, [_PENDING, _PROCESSING]),
    "is forgotten": (1, [_REQUEST]),
    "arrives backwards": (
        2,
        [_Step("completed", 2), _Step("processing", 2.5, occurred=1), _Step("pending", 3, occurred=0)],
    ),
    "arrives early": (  # before an event has created the export
        1,
        [
            _Step("processing", 0.5, created=False),
            _Step("pending", 1.5, occurred=0),
            _Step("completed", 4),
        ],
    ),
    "repeats": (1, [replace(step, repeats=(0.2, 1.5)) for step in (_REQUEST, _PROCESSING, _COMPLETED)]),
    "contradicts": (1, [_PENDING, _PROCESSING, _FAILED, _Step("completed", 7, rejected_as="conflict")]),
    "comes too late": (1, [_PENDING, _PROCESSING, _Step("completed", _AFTER_ITS_END, occurred=3)]),
}
"""What can become of an export, with its weight."""

_EVENTS_PER_EXPORT = 3.5
_SUBJECTS = ("orders", "invoices", "customers", "stock", "visits", "payroll")
_FORMATS = ("csv", "xlsx", "pdf", "parquet")


def scenario(*, exports: int, ttl_seconds: int, seed: int, start: datetime) -> tuple[Sending, ...]:
    """The messages of all exports, in the order in which they are sent.

    Args:
        exports: how many, at least 1.
        ttl_seconds: at least `MIN_TTL_SECONDS`.
        seed: the seed of all random choices.
        start: when the first message is sent.
    """
    dice = random.Random(seed)
    # Each course once, as far as there are exports for it, and the rest by weight.
    weights, courses = zip(*_COURSES.values(), strict=True)
    chosen = [*courses[:exports], *dice.choices(courses, weights=weights, k=max(0, exports - len(courses)))]
    dice.shuffle(chosen)
    spread_seconds = max(2.0, exports * _EVENTS_PER_EXPORT / EVENTS_PER_SECOND)
    sendings = list(_poison(dice, max(2, exports // 16), start, spread_seconds))
    for number, course in enumerate(chosen):
        created = start + timedelta(seconds=spread_seconds * number / exports)
        sendings += _messages(course, dice, number, created, ttl_seconds)
    return tuple(sorted(sendings, key=lambda sending: sending.at))


def _messages(
    course: Sequence[_Step], dice: random.Random, number: int, created: datetime, ttl_seconds: int
) -> Iterator[Sending]:
    request_id = f"export-{number:04}-{dice.randbytes(2).hex()}"
    file_name = f"{dice.choice(_SUBJECTS)}-{created:%Y-%m}.{dice.choice(_FORMATS)}"
    step_seconds = min(ttl_seconds / STEPS_PER_TTL, MAX_STEP_SECONDS)
    late = datetime.fromtimestamp(ttl_of(created, ttl_seconds) + LATE_SECONDS, UTC)
    for step in course:
        at = step.at + dice.uniform(0, step.spread)
        sent = late if at == _AFTER_ITS_END else created + timedelta(seconds=at * step_seconds)
        occurred = (
            sent if step.occurred is None else created + timedelta(seconds=step.occurred * step_seconds)
        )
        event = {
            "eventId": dice.randbytes(8).hex(),
            "requestId": request_id,
            "status": step.status,
            "occurredAt": format_timestamp(occurred),
            **({"createdAt": format_timestamp(created)} if step.created else {}),
        }
        url = signed_url(dice, f"{request_id}/{file_name}")
        match step.status:
            case "pending" if step.created:
                event["fileName"] = file_name
            case "completed":
                event |= {"fileName": file_name, "signedUrl": url}
            case "failed":  # errors of storage clients hold URLs
                event["error"] = f"GET {url} answered 403 after 3 attempts"
        body = dice.choice(ENVELOPES)(event, dice)
        for pause in (0, *step.repeats):
            yield Sending(sent + timedelta(seconds=pause), body, event, step.rejected_as)


def _poison(dice: random.Random, count: int, start: datetime, spread_seconds: float) -> Iterator[Sending]:
    url = signed_url(dice, "lost.csv")
    bodies = (
        "export finished, see " + url,
        json.dumps({"requestId": "export-bad001", "status": "done", "occurredAt": "2026-11-22T10:00:00Z"}),
        json.dumps({"status": "completed", "occurredAt": "2026-11-22T10:00:00Z", "signedUrl": url}),
        json.dumps({"requestId": "export-bad002", "status": "pending", "occurredAt": "yesterday"}),
    )
    for number in range(count):
        at = start + timedelta(seconds=dice.uniform(0, spread_seconds))
        yield Sending(at, bodies[number % len(bodies)], None, "invalid")


def signed_url(dice: random.Random, path: str) -> str:
    """A credential, as S3 signs them."""
    return (
        f"https://exports.example.com/{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900"
        f"&X-Amz-Signature={dice.randbytes(32).hex()}"
    )


def _bare(event: Event, _: random.Random) -> str:
    return json.dumps(event)


def _in_event_bridge(event: Event, dice: random.Random) -> str:
    envelope = {"detail-type": "Export status changed", "source": "exports.producer"}
    return json.dumps({"version": "0", "id": dice.randbytes(16).hex(), **envelope, "detail": event})


def _in_sns(event: Event, dice: random.Random) -> str:
    return _notification(json.dumps(event), dice)


def _in_event_bridge_in_sns(event: Event, dice: random.Random) -> str:
    return _notification(_in_event_bridge(event, dice), dice)


def _notification(message: str, dice: random.Random) -> str:
    return json.dumps({"Type": "Notification", "MessageId": dice.randbytes(16).hex(), "Message": message})


ENVELOPES = (_bare, _bare, _bare, _in_sns, _in_event_bridge, _in_event_bridge_in_sns)
"""The forms that events travel in: a body made of an event, with the dice for its ids."""
