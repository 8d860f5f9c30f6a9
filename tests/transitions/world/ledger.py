"""What the outside has seen in a world, and the laws that it must obey, checked while it happens."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from handlers.export import Status
from handlers.transitions import MOVES
from tests.handlers.model_table import StoredItem
from tests.transitions.world.clock import EPOCH, SimulatedClock
from tests.transitions.world.traffic import Event, Kind, timestamp

_ATTRIBUTES = {
    "requestId",
    "status",
    "createdAt",
    "updatedAt",
    "ttl",
    "signedUrl",
    "fileName",
    "error",
}


class Ledger:
    """Every write, delete and rejection; what contradicts the laws fails at once.

    Args:
        clock: the world's time.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
        skew_seconds: how wrong a task's clock is at most.
    """

    def __init__(self, clock: SimulatedClock, ttl_seconds: int, skew_seconds: float) -> None:
        self._events: dict[int, Event] = {}
        self._reached: defaultdict[str, set[Status]] = defaultdict(set)  # in the table, by export
        self._rejected: set[int] = set()
        self._events_of: defaultdict[str, list[Event]] = defaultdict(list)
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._tolerance = skew_seconds + 6.0

    def sent(self, number: int, event: Event) -> None:
        """A producer's message."""
        self._events[number] = event
        self._events_of[event.request_id].append(event)

    def wrote(self, key: str, old: StoredItem | None, new: StoredItem) -> None:
        """A write took effect: docs/invariants.md, laws 1 and 2."""
        events = self._events_of[key]
        first = events[0]
        assert set(new) <= _ATTRIBUTES, f"unknown attributes: {set(new) - _ATTRIBUTES}"
        assert new["createdAt"]["S"] == timestamp(first.created_at), "createdAt is not the export's"
        ends = first.expires_at(self._ttl_seconds)
        assert float(new["ttl"]["N"]) == EPOCH + ends, "ttl is not createdAt + TTL"
        assert ends > self._clock.time - self._tolerance, "something dead was written"
        status = Status(new["status"]["S"])
        times = {timestamp(event.occurred_at) for event in events if event.status is status}
        assert new["updatedAt"]["S"] in times, "updatedAt is not the event's occurredAt"
        if old is not None:
            before = Status(old["status"]["S"])
            assert status is before or status in MOVES[before], f"{before} became {status}"
            assert {"createdAt", "ttl"} <= {name for name in old if old[name] == new[name]}
        self._reached[key].add(status)

    def rejected_letter(self, letter: Mapping[str, Any]) -> None:
        """A copy reached the dead-letter queue: nothing good may be among them."""
        attributes = letter["MessageAttributes"]
        number = int(attributes["sourceMessageId"]["StringValue"].split("-")[1])
        outcome = attributes["rejectionOutcome"]["StringValue"]
        event = self._events[number]
        allowed = {Kind.BAD: {"invalid"}, Kind.CONFLICT: {"conflict"}, Kind.GOOD: set[str]()}[event.kind]
        assert outcome in allowed, f"a {event.kind.value} event was dead-lettered as {outcome}"
        self._rejected.add(number)

    def deleted(self, number: int) -> None:
        """A message is gone: its effect must be durable, or it came too late (docs/invariants.md, law 3)."""
        event = self._events[number]
        if number in self._rejected:
            return
        assert event.kind is not Kind.BAD, "a bad message was deleted without a copy"
        if any(event.status not in MOVES[reached] for reached in self._reached[event.request_id]):
            return
        ends = event.expires_at(self._ttl_seconds)
        assert ends <= self._clock.time + self._tolerance, f"lost: {event.status} of {event.request_id}"

    def check_end(self, *, calm_from: float) -> None:
        """Checks the exports all of whose messages arrived in calm: they must have reached their end.

        Args:
            calm_from: since when nothing goes wrong any more and the backlog must be gone (world seconds).
        """
        for key, events in self._events_of.items():
            if events[0].kind is Kind.BAD:
                continue
            if min(event.arrives_at for event in events) < calm_from:
                continue
            assert self._reached[key], f"nothing of {key} was applied"
            assert any(not MOVES[status] for status in self._reached[key]), f"{key} never ended"
