"""What producers send in a world: exports with their events, repeats, late ones, and a few that are wrong."""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from handlers.export import Status
from handlers.timestamps import format_timestamp
from tests.transitions.world.clock import EPOCH

_MAX_DELAY_SECONDS = 1.5
_BAD_BODIES = (
    "no json",
    "[]",
    '{"requestId": "x"}',
    '{"requestId": "x", "status": "done", "occurredAt": "now"}',
)


class Kind(Enum):
    """What an event must come to."""

    GOOD = "good"
    CONFLICT = "conflict"
    """One of two terminal statuses of an export: whichever comes second is rejected."""
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Event:
    """One message: what it says, and when it arrives (world seconds)."""

    kind: Kind
    request_id: str
    status: Status
    occurred_at: float
    created_at: float
    arrives_at: float
    body: str

    def expires_at(self, ttl_seconds: int) -> float:
        """When its export ends (world seconds)."""
        return math.floor(EPOCH + self.created_at) + ttl_seconds - EPOCH


@dataclass(frozen=True, slots=True)
class Pattern:
    """How traffic comes.

    Attributes:
        events_per_second: on average, in Poisson arrivals of exports.
        seconds: how long.
        starts_at: when the first export may come (world seconds).
        repeats: the part of events that is sent twice.
        bare: the part of events that does not say when the export was requested.
        bad: the part of messages that are no events.
        conflicts: the part of exports with two terminal statuses.
        burst: all exports of a second come at its beginning.
    """

    events_per_second: float
    seconds: float
    starts_at: float = 0.0
    repeats: float = 0.05
    bare: float = 0.1
    bad: float = 0.005
    conflicts: float = 0.01
    burst: bool = False


def traffic(patterns: Sequence[Pattern], rng: random.Random, *, fifo: bool = False) -> list[Event]:
    """Makes the messages of some patterns, in order of arrival; the same randomness gives the same ones."""
    made: list[Event] = []
    for number, pattern in enumerate(patterns):
        made += _of_pattern(f"{number}", pattern, rng, fifo=fifo)
    return sorted(made, key=lambda event: event.arrives_at)


def _of_pattern(name: str, pattern: Pattern, rng: random.Random, *, fifo: bool) -> Iterator[Event]:
    at = pattern.starts_at
    index = 0
    while True:
        at += rng.expovariate(pattern.events_per_second / 3)
        if at >= pattern.starts_at + pattern.seconds:
            return
        begins = math.floor(at) if pattern.burst else at
        for event in _of_export(f"req-{name}-{index}", begins, pattern, rng, fifo=fifo):
            yield event
            if rng.random() < pattern.repeats and not fifo:
                yield replace(event, arrives_at=event.arrives_at + rng.expovariate(0.5))
        if rng.random() < pattern.bad * 3:
            body = rng.choice(_BAD_BODIES)
            yield Event(Kind.BAD, f"bad-{name}-{index}", Status.PENDING, at, at, at, body)
        index += 1


def _of_export(
    request_id: str, begins: float, pattern: Pattern, rng: random.Random, *, fifo: bool
) -> Iterator[Event]:
    statuses = [Status.PENDING, Status.PROCESSING, rng.choice((Status.COMPLETED, Status.FAILED))]
    kind = Kind.GOOD
    if rng.random() < pattern.conflicts:
        kind = Kind.CONFLICT
        statuses.append(Status.FAILED if statuses[-1] is Status.COMPLETED else Status.COMPLETED)
    occurs = begins
    arrives = begins
    for place, status in enumerate(statuses):
        if place:
            occurs += rng.uniform(0.05, 2.0)
        delay = rng.expovariate(20.0) if rng.random() < 0.9 else rng.uniform(0, _MAX_DELAY_SECONDS)
        arrives = max(arrives + 0.001, occurs + delay) if fifo else occurs + delay
        says = fifo or status is Status.PENDING or rng.random() >= pattern.bare
        yield Event(
            kind if place >= 2 else Kind.GOOD,
            request_id,
            status,
            occurs,
            begins,
            arrives,
            _body(request_id, status, occurs, begins if says else None),
        )


def _body(request_id: str, status: Status, occurred_at: float, created_at: float | None) -> str:
    event = {"requestId": request_id, "status": status.value, "occurredAt": timestamp(occurred_at)}
    if created_at is not None:
        event["createdAt"] = timestamp(created_at)
    if status is Status.COMPLETED:
        event["signedUrl"] = f"https://files.example/{request_id}?X-Amz-Signature=0"
    if status is Status.FAILED:
        event["error"] = "disk full"
    if status is not Status.PENDING:
        event["fileName"] = "report.csv"
    return json.dumps(event)


def timestamp(at: float) -> str:
    """A time of the world as producers write it."""
    return format_timestamp(datetime.fromtimestamp(EPOCH + at, UTC))
