"""What the outside has seen in a world, and the laws that it must obey, checked while it happens."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Reached:
    """How far an export has come in the table, and when."""

    statuses: dict[Status, float] = field(default_factory=dict)

    def covers(self, status: Status) -> bool:
        """Whether an event of this status has nothing left to do."""
        return any(status not in MOVES[other] for other in self.statuses)


class Ledger:
    """Every write, delete and rejection; what contradicts the laws fails at once.

    Args:
        clock: the world's time.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
        skew_seconds: how wrong a task's clock is at most.
    """

    def __init__(self, clock: SimulatedClock, ttl_seconds: int, skew_seconds: float) -> None:
        self.events: dict[int, Event] = {}
        self.reached: dict[str, Reached] = {}
        self.settled_at: dict[int, float] = {}
        self.expired = 0
        self.rejected: Counter[str] = Counter()
        self._rejected_ids: dict[int, str] = {}
        self._events_of: dict[str, list[Event]] = {}
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._tolerance = skew_seconds + 6.0

    def sent(self, number: int, event: Event) -> None:
        """A producer's message."""
        self.events[number] = event
        self._events_of.setdefault(event.request_id, []).append(event)

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
        self.reached.setdefault(key, Reached()).statuses.setdefault(status, self._clock.time)

    def rejected_letter(self, letter: Mapping[str, Any]) -> None:
        """A copy reached the dead-letter queue: nothing good may be among them."""
        attributes = letter["MessageAttributes"]
        number = int(attributes["sourceMessageId"]["StringValue"].split("-")[1])
        outcome = attributes["rejectionOutcome"]["StringValue"]
        event = self.events[number]
        allowed = {Kind.BAD: {"invalid"}, Kind.CONFLICT: {"conflict"}, Kind.GOOD: set[str]()}[event.kind]
        assert outcome in allowed, f"a {event.kind.value} event was dead-lettered as {outcome}"
        self._rejected_ids[number] = outcome
        self.rejected[outcome] += 1

    def deleted(self, number: int) -> None:
        """A message is gone: its effect must be durable, or it came too late (docs/invariants.md, law 3)."""
        event = self.events[number]
        self.settled_at[number] = self._clock.time
        if number in self._rejected_ids:
            return
        assert event.kind is not Kind.BAD, "a bad message was deleted without a copy"
        reached = self.reached.get(event.request_id)
        if reached is not None and reached.covers(event.status):
            return
        ends = event.expires_at(self._ttl_seconds)
        assert ends <= self._clock.time + self._tolerance, f"lost: {event.status} of {event.request_id}"
        self.expired += 1

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
            reached = self.reached.get(key)
            assert reached is not None, f"nothing of {key} was applied"
            assert any(not MOVES[status] for status in reached.statuses), f"{key} never ended"
