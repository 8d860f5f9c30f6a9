"""What producers send in a run: from a seed, exports with everything that may legally or illegally happen.

Repeats, reordering, several envelopes, events that lack `createdAt`, contradictions, events that disagree in
a field, exports that never finish, events that come after their export's end, and bodies that are no events.
Pure: the same arguments give the same messages.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from processor.demo.scenario import ENVELOPES, signed_url
from tests.faults.bodies import POISON, Event, milliseconds, written

TTL_SECONDS = 900
ENDS_WITHIN_SECONDS = 4.0
"""The exports of a run end this close to one another."""

REPEATED_WITHIN_SECONDS = 6.0
REORDERED_WITHIN_SECONDS = 3.0
LATE_WITHIN_SECONDS = 4.0
"""Over how long late events are spread."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send: when, counted from the beginning of its part of the run, and what."""

    after_seconds: float
    body: str
    event: Event | None
    """The event in the body; None where the body is no valid event."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """All messages of a run, each part in the order of sending."""

    timely: tuple[Message, ...]
    retold: Mapping[str, Message]
    """By request id: the export's item is deleted by hand, and then this is sent."""
    late: tuple[Message, ...]
    """Sent when every export has ended; times count from there."""


def traffic(
    *, seed: int, exports: int, messages: int, seconds: float, begins: datetime, ends: datetime
) -> Traffic:
    """Draws a run's traffic.

    Args:
        seed: decides everything.
        exports: how many exports, at least 20.
        messages: how many timely messages in all; at least about four an export.
        seconds: over how long the timely messages are spread.
        begins: when the first message is sent.
        ends: when the last export expires; the others do so shortly before.
    """
    dice = random.Random(seed)
    timely: list[Message] = []
    retold: dict[str, Message] = {}
    late: list[Message] = []
    courses = dice.choices(list(_COURSES), weights=list(_COURSES.values()), k=exports)
    courses[: len(_COURSES)] = list(_COURSES)  # each at least once
    dice.shuffle(courses)
    for number, course in enumerate(courses):
        producer = _Producer(dice, f"export-{seed}-{number:05d}", begins, ends)
        events = course(producer)
        begin = dice.uniform(0, max(0.0, seconds - REORDERED_WITHIN_SECONDS))
        times = [dice.uniform(0, REORDERED_WITHIN_SECONDS) for _ in events]
        if dice.random() < 0.67:
            times.sort()  # those of the other exports are out of order
        timely += [producer.message(event, begin + time) for event, time in zip(events, times, strict=True)]
        late += [producer.message(event, dice.uniform(0.0, LATE_WITHIN_SECONDS)) for event in producer.late]
        if producer.retold is not None:
            retold[producer.request_id] = producer.message(producer.retold, 0.0)
    timely += [
        Message(dice.uniform(0, seconds), POISON[number % len(POISON)](dice), None)
        for number in range(max(len(POISON), messages // 60))
    ]
    repeats = dice.choices(timely, k=max(0, messages - len(timely)))
    timely += [_repeat(message, dice) for message in repeats]
    return Traffic(timely=_in_order(timely), retold=retold, late=_in_order(late))


class _Producer:
    """Makes the events of one export."""

    def __init__(self, dice: random.Random, request_id: str, begins: datetime, ends: datetime) -> None:
        self.dice = dice
        self.begins = begins
        self.request_id = request_id
        self.late: tuple[Event, ...] = ()
        """Reported when the export has expired."""
        self.retold: Event | None = None
        """Reported when the item was deleted by hand."""
        before = timedelta(seconds=TTL_SECONDS + dice.uniform(0, ENDS_WITHIN_SECONDS))
        self.created = milliseconds(ends - before)
        self.file_name = f"{dice.choice(_SUBJECTS)}-{dice.randrange(10_000)}.{dice.choice(_FORMATS)}"
        self.url = signed_url(dice, f"{request_id}.csv")
        self._occurred = {
            "pending": self.created,
            "processing": self.created + timedelta(seconds=dice.uniform(0.5, 3)),
            "completed": self.created + timedelta(seconds=dice.uniform(4, 9)),
            "failed": self.created + timedelta(seconds=dice.uniform(4, 9)),
        }

    def reports(self, status: str, *, created: bool | None = None, **fields: Any) -> Event:
        """An event of this export; whether it carries `createdAt` is drawn if it is not given."""
        event: dict[str, Any] = {
            "eventId": self.dice.randbytes(8).hex(),
            "requestId": self.request_id,
            "status": status,
            "occurredAt": written(self._occurred[status], self.dice),
            **fields,
        }
        if created if created is not None else self.dice.random() < 0.75:
            event["createdAt"] = written(self.created, self.dice)
        if self.dice.random() < 0.1:
            event |= {"tenant": "a", "attempt": 2, "nested": {"requestId": "another"}}
        if self.dice.random() < 0.1:
            event.setdefault("signedUrl", None)
        return event

    def completed(self, **fields: Any) -> Event:
        """The good end; file and URL may be known to this event or not."""
        if self.dice.random() < 0.85:
            fields.setdefault("fileName", self.file_name)
        if self.dice.random() < 0.9:
            fields.setdefault("signedUrl", self.url)
        return self.reports("completed", **fields)

    def failed(self, **fields: Any) -> Event:
        """The bad end, with an error that may hold a credential or be far too long."""
        match self.dice.randrange(6):
            case 0:
                error = "Der Speicher antwortet nicht, später: " + "ü€" * 2_000
            case 1:
                return self.reports("failed", **fields)
            case _:
                error = f"GET {self.url} answered 403 after 3 attempts"
        return self.reports("failed", error=error, **fields)

    def message(self, event: Event, after_seconds: float) -> Message:
        """The event in an envelope."""
        return Message(after_seconds, self.dice.choice(ENVELOPES)(event, self.dice), event)


_Events = tuple[Event, ...]


def _completes(producer: _Producer) -> _Events:
    named = producer.file_name if producer.dice.random() < 0.5 else None
    return producer.reports("pending", fileName=named), producer.reports("processing"), producer.completed()


def _fails(producer: _Producer) -> _Events:
    named = producer.file_name
    return producer.reports("pending", fileName=named), producer.reports("processing"), producer.failed()


def _skips_steps(producer: _Producer) -> _Events:
    """At least the first event tells when the export was requested."""
    last = producer.completed if producer.dice.random() < 0.5 else producer.failed
    if producer.dice.random() < 0.5:
        return (last(created=True),)
    return producer.reports("processing", created=True), last()


def _never_finishes(producer: _Producer) -> _Events:
    events = (producer.reports("pending"), producer.reports("processing", fileName=producer.file_name))
    return events[: producer.dice.randint(1, 2)]


def _is_filled_in(producer: _Producer) -> _Events:
    """Repeats know more than the first event did."""
    bare = producer.reports("completed")
    more: tuple[Event, ...] = ({"fileName": producer.file_name}, {"signedUrl": producer.url})
    return producer.reports("pending"), bare, *({**bare, **each} for each in more)


def _contradicts_itself(producer: _Producer) -> _Events:
    ends = (producer.completed(fileName=producer.file_name), producer.failed(fileName=producer.file_name))
    return producer.reports("pending"), producer.reports("processing"), *ends


def _disagrees(producer: _Producer) -> _Events:
    """Events state the same field differently: the first to arrive stands."""
    other = producer.created + timedelta(seconds=1.5)
    return (
        producer.reports("pending", created=True, fileName=producer.file_name),
        producer.reports("processing", fileName="another-" + producer.file_name),
        {**producer.reports("processing"), "occurredAt": written(other, producer.dice)},
        {**producer.completed(), "createdAt": written(other, producer.dice)},
    )


def _comes_late(producer: _Producer) -> _Events:
    """The end is reported only when the export has expired; so is a late beginning."""
    more = [producer.completed(), producer.reports("pending")]
    more = producer.dice.sample(more, producer.dice.randint(0, 2))
    producer.late = (producer.failed(created=False), *more)
    return producer.reports("pending"), producer.reports("processing")


def _is_over_before_it_is_reported(producer: _Producer) -> _Events:
    producer.created -= timedelta(seconds=2 * TTL_SECONDS)
    return producer.reports("pending", created=True), producer.completed(created=True)


def _is_orphaned(producer: _Producer) -> _Events:
    """No event states when this export was requested: the event waits until its own time is over."""
    occurred = producer.begins + timedelta(seconds=producer.dice.uniform(4, 10) - TTL_SECONDS)
    event = producer.reports("processing", created=False)
    return ({**event, "occurredAt": written(occurred, producer.dice)},)


def _is_deleted_by_hand(producer: _Producer) -> _Events:
    def completed() -> Event:
        return producer.completed(created=True, fileName=producer.file_name, signedUrl=producer.url)

    producer.retold = completed()
    return producer.reports("pending", created=True), completed()


_COURSES: Mapping[Callable[[_Producer], _Events], int] = {
    _completes: 40,
    _fails: 15,
    _skips_steps: 12,
    _never_finishes: 8,
    _is_filled_in: 6,
    _contradicts_itself: 5,
    _disagrees: 3,
    _comes_late: 5,
    _is_over_before_it_is_reported: 2,
    _is_orphaned: 1,
    _is_deleted_by_hand: 3,
}

_SUBJECTS = ("orders", "invoices", "größen", "在庫", "visits", "payroll")
_FORMATS = ("csv", "xlsx", "pdf", "parquet")


def _repeat(message: Message, dice: random.Random) -> Message:
    """A repeated message: the same body, or the event in another envelope, or a copy that knows less."""
    after = message.after_seconds + dice.uniform(0, REPEATED_WITHIN_SECONDS)
    event = message.event
    if event is None or dice.random() < 0.5:
        return Message(after, message.body, event)
    if dice.random() < 0.3:
        event = {name: value for name, value in event.items() if name not in {"signedUrl", "error"}}
    return Message(after, dice.choice(ENVELOPES)(event, dice), event)


def _in_order(messages: list[Message]) -> tuple[Message, ...]:
    return tuple(sorted(messages, key=lambda message: message.after_seconds))
