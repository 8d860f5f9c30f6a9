"""The messages of the demo's producers: realistic exports with all the faults of practice.

Pure: the same seed and start give the same messages.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from handlers.export import ttl_of
from handlers.timestamps import format_timestamp

MIN_TTL_SECONDS = 8
"""Below it, the last event of an export would arrive too close to its end."""

EVENTS_PER_SECOND = 30
"""What an emulator on a small machine can handle without a backlog."""

STEPS_PER_TTL = 12
MAX_STEP_SECONDS = 2.0
LATE_SECONDS = 1.0  # from the end of an export to its late event

Event = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sending:
    """One message, and when it is sent, in seconds after the start."""

    after_seconds: float
    body: str
    event: Event | None
    """The event in the body, without its envelope; None where the body is not a valid event."""
    rejected_as: str | None = None
    """The outcome with which it must be dead-lettered; None: it must not be."""


def scenario(*, exports: int, ttl_seconds: int, seed: int, start: datetime) -> tuple[Sending, ...]:
    """The messages of all exports, in the order in which they are sent.

    Args:
        exports: how many, at least 1.
        ttl_seconds: at least `MIN_TTL_SECONDS`.
        seed: the seed of all random choices.
        start: when the first message is sent; all timestamps count from it.
    """
    dice = random.Random(seed)
    # Each course once, as far as there are exports for it, and the rest by weight.
    courses = list(_WEIGHTS)[:exports]
    courses += dice.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()), k=exports - len(courses))
    dice.shuffle(courses)
    spread_seconds = max(2.0, exports * _EVENTS_PER_EXPORT / EVENTS_PER_SECOND)
    sendings = list(_poison(dice, max(2, exports // 16), spread_seconds))
    for number, course in enumerate(courses):
        begin = start + timedelta(seconds=spread_seconds * number / exports)
        sendings += _sendings(course(_Producer(dice, number, begin, ttl_seconds)), dice, start)
    return tuple(sorted(sendings, key=lambda sending: sending.after_seconds))


@dataclass(frozen=True, slots=True)
class _Timed:
    """An event and when it is sent, which may be later than it occurred."""

    sent: datetime
    event: dict[str, str]
    rejected_as: str | None = None


class _Producer:
    """Makes the events of one export; times are in steps after its request."""

    def __init__(self, dice: random.Random, number: int, created: datetime, ttl_seconds: int) -> None:
        self._dice = dice
        self._created = created
        self._step = min(ttl_seconds / STEPS_PER_TTL, MAX_STEP_SECONDS)
        self.request_id = f"export-{number:04}-{dice.randbytes(2).hex()}"
        self.file_name = f"{dice.choice(_SUBJECTS)}-{created:%Y-%m}.{dice.choice(_FORMATS)}"
        ends = ttl_of(created, ttl_seconds) + LATE_SECONDS
        self.after_its_end = (ends - created.timestamp()) / self._step

    def event(
        self, status: str, *, at: float, occurred: float | None = None, created: bool = True, **fields: str
    ) -> _Timed:
        """An event; `at` is when it is sent, `occurred` when it occurred, if that is earlier."""
        event = {
            "eventId": self._dice.randbytes(8).hex(),
            "requestId": self.request_id,
            "status": status,
            "occurredAt": format_timestamp(self._instant(at if occurred is None else occurred)),
            **({"createdAt": format_timestamp(self._created)} if created else {}),
            **fields,
        }
        return _Timed(self._instant(at), event)

    def completed(self, *, at: float, occurred: float | None = None) -> _Timed:
        """The good end, with file and signed URL."""
        url = signed_url(self._dice, f"{self.request_id}/{self.file_name}")
        return self.event("completed", at=at, occurred=occurred, fileName=self.file_name, signedUrl=url)

    def failed(self, *, at: float) -> _Timed:
        """The bad end; its error holds a signed URL, as errors of storage clients do."""
        url = signed_url(self._dice, f"sources/{self.file_name}")
        return self.event("failed", at=at, error=f"GET {url} answered 403 after 3 attempts")

    def chance(self, low: float, high: float) -> float:
        """A number of steps between the two."""
        return self._dice.uniform(low, high)

    def _instant(self, steps: float) -> datetime:
        return self._created + timedelta(seconds=steps * self._step)


def _completes(producer: _Producer) -> Iterator[_Timed]:
    yield producer.event("pending", at=0, created=False)
    yield producer.event("processing", at=producer.chance(0.5, 1.5))
    yield producer.completed(at=producer.chance(2, 4))


def _fails(producer: _Producer) -> Iterator[_Timed]:
    yield producer.event("pending", at=0, fileName=producer.file_name)
    yield producer.event("processing", at=producer.chance(0.5, 1.5))
    yield producer.failed(at=producer.chance(2, 4))


def _stalls(producer: _Producer) -> Iterator[_Timed]:
    yield producer.event("pending", at=0, fileName=producer.file_name)
    yield producer.event("processing", at=producer.chance(0.5, 1.5))


def _is_forgotten(producer: _Producer) -> Iterator[_Timed]:
    yield producer.event("pending", at=0)


def _arrives_backwards(producer: _Producer) -> Iterator[_Timed]:
    yield producer.completed(at=2)
    yield producer.event("processing", at=2.5, occurred=1)
    yield producer.event("pending", at=3, occurred=0)


def _arrives_early(producer: _Producer) -> Iterator[_Timed]:
    yield producer.event("processing", at=0.5, created=False)  # no event has created this export yet
    yield producer.event("pending", at=1.5, occurred=0)
    yield producer.completed(at=4)


def _repeats(producer: _Producer) -> Iterator[_Timed]:
    for timed in _completes(producer):
        yield timed
        for pause in (0.2, 1.5):
            yield _Timed(timed.sent + timedelta(seconds=pause), timed.event)


def _contradicts(producer: _Producer) -> Iterator[_Timed]:
    yield from _fails(producer)
    timed = producer.completed(at=7)
    yield _Timed(timed.sent, timed.event, rejected_as="conflict")


def _comes_too_late(producer: _Producer) -> Iterator[_Timed]:
    yield producer.event("pending", at=0)
    yield producer.event("processing", at=1)
    yield producer.completed(at=producer.after_its_end, occurred=3)


_WEIGHTS: Mapping[Callable[[_Producer], Iterator[_Timed]], int] = {
    _completes: 9,
    _fails: 4,
    _stalls: 2,
    _is_forgotten: 1,
    _arrives_backwards: 2,
    _arrives_early: 1,
    _repeats: 1,
    _contradicts: 1,
    _comes_too_late: 1,
}
_EVENTS_PER_EXPORT = 3.5

_SUBJECTS = ("orders", "invoices", "customers", "stock", "visits", "payroll")
_FORMATS = ("csv", "xlsx", "pdf", "parquet")


def _sendings(course: Iterator[_Timed], dice: random.Random, start: datetime) -> Iterator[Sending]:
    for timed in course:
        yield Sending(
            (timed.sent - start).total_seconds(),
            dice.choice(ENVELOPES)(timed.event, dice),
            timed.event,
            timed.rejected_as,
        )


def _poison(dice: random.Random, count: int, spread_seconds: float) -> Iterator[Sending]:
    url = signed_url(dice, "lost.csv")
    bodies = (
        "export finished, see " + url,
        json.dumps({"requestId": "export-bad001", "status": "done", "occurredAt": "2026-11-22T10:00:00Z"}),
        json.dumps({"status": "completed", "occurredAt": "2026-11-22T10:00:00Z", "signedUrl": url}),
        json.dumps({"requestId": "export-bad002", "status": "pending", "occurredAt": "yesterday"}),
    )
    for number in range(count):
        yield Sending(dice.uniform(0, spread_seconds), bodies[number % len(bodies)], None, "invalid")


def signed_url(dice: random.Random, path: str) -> str:
    """A credential, as S3 signs them."""
    return (
        f"https://exports.example.com/{path}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=900"
        f"&X-Amz-Signature={dice.randbytes(32).hex()}"
    )


def _bare(event: Event, _: random.Random) -> str:
    return json.dumps(event)


def _in_sns(message: Event, dice: random.Random) -> str:
    return _notification(json.dumps(message), dice)


def _in_event_bridge(event: Event, dice: random.Random) -> str:
    return json.dumps(
        {
            "version": "0",
            "id": dice.randbytes(16).hex(),
            "detail-type": "Export status changed",
            "source": "exports.producer",
            "account": "123456789012",
            "time": event["occurredAt"],
            "region": "us-east-1",
            "resources": [],
            "detail": event,
        }
    )


def _in_event_bridge_in_sns(event: Event, dice: random.Random) -> str:
    return _notification(_in_event_bridge(event, dice), dice)


def _notification(message: str, dice: random.Random) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": dice.randbytes(16).hex(),
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:export-events",
            "Message": message,
        }
    )


ENVELOPES = (_bare, _bare, _bare, _in_sns, _in_event_bridge, _in_event_bridge_in_sns)
"""The forms that events travel in: a body made of an event, with the dice for its ids."""
