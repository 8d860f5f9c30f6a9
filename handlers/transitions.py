"""The life of an export as data: which status follows which, and what becomes of an event.

`decide` is the definition (docs/contract.md, section 3). The writes in `writes.py` carry the same rules as
conditions, and a property test holds the two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cache

from handlers.events import ExportEvent
from handlers.export import Export, Item, MalformedItem, Status, is_dead, stored_ttl, ttl_of

MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.PROCESSING, Status.COMPLETED, Status.FAILED}),
    Status.PROCESSING: frozenset({Status.COMPLETED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
}
"""From each status the ones that an event may move it to; steps may be skipped, for queues reorder."""


class Outcome(Enum):
    """What became of an event; docs/contract.md, section 3 has the table."""

    INVALID = "invalid"
    EXPIRED = "expired"
    APPLIED = "applied"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"
    EARLY = "early"
    RETRY = "retry"


class Disposition(Enum):
    """What happens to the message of an event with a certain outcome."""

    DELETE = "delete"
    DEAD_LETTER = "dead_letter"
    LEAVE = "leave"


DISPOSITIONS: Mapping[Outcome, Disposition] = {
    Outcome.INVALID: Disposition.DEAD_LETTER,
    Outcome.EXPIRED: Disposition.DELETE,
    Outcome.APPLIED: Disposition.DELETE,
    Outcome.DUPLICATE: Disposition.DELETE,
    Outcome.STALE: Disposition.DELETE,
    Outcome.CONFLICT: Disposition.DEAD_LETTER,
    Outcome.EARLY: Disposition.LEAVE,
    Outcome.RETRY: Disposition.LEAVE,
}


def is_terminal(status: Status) -> bool:
    """Whether nothing follows this status."""
    return not MOVES[status]


@cache
def predecessors(status: Status) -> tuple[Status, ...]:
    """The statuses that an item may have for an event of this status to move it forward."""
    return tuple(before for before in Status if status in MOVES[before])


@dataclass(frozen=True, slots=True)
class Change:
    """What one conditional write brings to the table: an event, with what others of its export add.

    `begins` is whether the export's `pending` event is among them: then there is most likely no item yet.
    `created_at` and `ttl` are both None if no event carries the time of the request; then the write can
    move an item but not create one.
    """

    request_id: str
    status: Status
    updated_at: datetime
    created_at: datetime | None = None
    ttl: int | None = None
    file_name: str | None = None
    signed_url: str | None = None
    error: str | None = None
    begins: bool = False


def compare(status: Status, current: Status) -> Outcome:
    """The outcome of an event of one status for a living item of another: applied, duplicate, stale or
    conflict."""
    if status is current:
        return Outcome.DUPLICATE
    if status in MOVES[current]:
        return Outcome.APPLIED
    if is_terminal(status) and is_terminal(current):
        return Outcome.CONFLICT
    return Outcome.STALE


def decide(event: ExportEvent, item: Item | None, *, now: datetime, ttl_seconds: int) -> Outcome:
    """The outcome of a valid event for the stored item (docs/contract.md, section 3, rows in order).

    Args:
        event: the event alone.
        item: the stored item, or None.
        now: the time of the attempt.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.

    Returns:
        Any outcome but `INVALID` and `RETRY`.
    """
    if expired_by_itself(event, now=now, ttl_seconds=ttl_seconds):
        return Outcome.EXPIRED
    if item is None:
        if event.created is not None:
            return Outcome.APPLIED
        dead = is_dead(ttl_of(event.occurred_at, ttl_seconds), now)
        return Outcome.EXPIRED if dead else Outcome.EARLY
    return _against(event.status, item, now)


def _against(status: Status, item: Item, now: datetime) -> Outcome:
    """The outcome of an event of this status for a stored item, dead or alive."""
    ttl = stored_ttl(item)
    if ttl is not None and is_dead(ttl, now):
        return Outcome.EXPIRED
    try:
        current = Export.from_item(item)
    except MalformedItem:
        return Outcome.CONFLICT
    return compare(status, current.status)


def expired_by_itself(event: ExportEvent, *, now: datetime, ttl_seconds: int) -> bool:
    """Whether the ttl that this event would write has passed, whatever the table holds."""
    ttl = event.ttl(ttl_seconds)
    return ttl is not None and is_dead(ttl, now)


def late_seconds(event: ExportEvent, item: Item | None, *, now: datetime, ttl_seconds: int) -> float:
    """For an `expired` event: how many seconds after the export's end it came. The end is the one that has
    passed: the item's, where the event by itself had time left."""
    ttl = event.ttl(ttl_seconds)
    if item is not None and not expired_by_itself(event, now=now, ttl_seconds=ttl_seconds):
        ttl = stored_ttl(item)
    return seconds_past(ttl_of(event.occurred_at, ttl_seconds) if ttl is None else ttl, now)


def seconds_past(ttl: int, now: datetime) -> float:
    """How many seconds ago a ttl was."""
    return round(now.timestamp() - ttl, 3)


def fold(events: Sequence[ExportEvent], ttl_seconds: int) -> tuple[int, Change]:
    """Makes one change of several events of one export (docs/contract.md, section 3).

    The highest event leads, of two terminal ones the earlier; `createdAt` and `fileName` come from the
    others where it lacks them, `signedUrl` and `error` from its own repeats. Where events disagree, the
    first to arrive stands.

    Args:
        events: in order of arrival, at least one, none of them expired by itself.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.

    Returns:
        The index of the leading event, and the change to write.
    """
    lead = min(range(len(events)), key=lambda index: _precedence(index, events)) if len(events) > 1 else 0
    leader = events[lead]
    in_order = [leader, *(event for event in events if event is not leader)]
    repeats = [event for event in in_order if event.status is leader.status]
    created_at = next((event.created for event in in_order if event.created is not None), None)
    return lead, Change(
        request_id=leader.request_id,
        status=leader.status,
        updated_at=leader.occurred_at,
        created_at=created_at,
        ttl=None if created_at is None else ttl_of(created_at, ttl_seconds),
        file_name=next((event.file_name for event in in_order if event.file_name is not None), None),
        signed_url=next((event.signed_url for event in repeats if event.signed_url is not None), None),
        error=next((event.error for event in repeats if event.error is not None), None),
        begins=any(event.status is Status.PENDING for event in events),
    )


def _precedence(index: int, events: Sequence[ExportEvent]) -> tuple[int, datetime, int]:
    """Sorts the leading event first: most moved on, then (terminal ones) the earlier, then the first to come.

    Repeats of one status count with the first of them, so that a repeat that states another time cannot
    overtake it.
    """
    status = events[index].status
    first = next(other for other in events if other.status is status)
    return len(MOVES[status]), first.occurred_at, index


def would_apply(change: Change, item: Item | None, now: datetime) -> bool:
    """Whether a change, if written now, would create this item or move it forward."""
    if item is None:
        return change.created_at is not None
    return _against(change.status, item, now) is Outcome.APPLIED


def missing_fields(event: ExportEvent, outcome: Outcome, item: Item) -> dict[str, str]:
    """What a duplicate or stale event can fill in where the item lacks it, by attribute name.

    A duplicate may bring `fileName`, `signedUrl` and `error`, a stale event only `fileName`.
    """
    offered: dict[str, str | None] = {}
    if outcome in {Outcome.DUPLICATE, Outcome.STALE}:
        offered["fileName"] = event.file_name
    if outcome is Outcome.DUPLICATE:
        offered |= {"signedUrl": event.signed_url, "error": event.error}
    return {name: value for name, value in offered.items() if value is not None and name not in item}
