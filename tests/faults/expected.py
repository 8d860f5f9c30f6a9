"""What must come of a run, worked out from the list of what was sent alone.

Deliberately not with the service's own rules: it is what the service is measured against. Where the contract
leaves an outcome to the order of arrival, every outcome that it allows is allowed.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from tests.faults.bodies import Event

Value = str | int | bool | None

RANK = {"pending": 0, "processing": 1, "completed": 2, "failed": 2}
_FINAL = 2
_MAX_ERROR_BYTES = 4 * 1_024
_QUERY = re.compile(r"\?\S*")


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the queue has accepted. Times are Unix seconds."""

    message_id: str
    at: float
    body: str
    event: Event | None


@dataclass(frozen=True, slots=True)
class DeletedByHand:
    """An item that an operator deleted, when every message about it was settled."""

    request_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Ending:
    """One way in which a life of an export may end."""

    status: str
    item: Mapping[str, frozenset[Value]]
    """For each attribute the values that it may have; None is its absence."""
    losers: frozenset[str]
    """The ids of the messages that contradict it and so belong into the dead-letter queue."""

    @property
    def audit(self) -> Mapping[str, frozenset[Value]]:
        """What the audit entry must hold about the item (docs/contract.md, section 4)."""
        return {
            "requestId": self.item["requestId"],
            "lastStatus": self.item["status"],
            "finished": frozenset({RANK[self.status] == _FINAL}),
            "createdAt": self.item["createdAt"],
            "updatedAt": self.item["updatedAt"],
            "expiresAt": frozenset(_written(float(ttl or 0)) for ttl in self.item["ttl"]),
            "fileName": self.item["fileName"],
            "error": frozenset(_masked(error) for error in self.item["error"]),
            "hadSignedUrl": frozenset(url is not None for url in self.item["signedUrl"]),
        }


@dataclass(frozen=True, slots=True)
class Life:
    """An export's item from its first write to its removal."""

    action: Literal["export.expired", "export.deleted"]
    endings: tuple[Ending, ...]

    def ending(self, status: object) -> Ending | None:
        """The ending with this status, if it is one of those that may be."""
        return next((each for each in self.endings if each.status == status), None)


@dataclass(frozen=True, slots=True)
class Expected:
    """All that must be there in the end."""

    lives: Mapping[str, tuple[Life, ...]]
    """By request id, in order; no life for an export that must never appear in the table."""
    poison: Mapping[str, str]
    """By message id, the bodies that are no events."""
    bodies: Mapping[str, str]
    """The bodies of all messages, by id."""


def expected(sent: Sequence[Sent], deletions: Iterable[DeletedByHand], ttl_seconds: int) -> Expected:
    """Works out what must come of these messages, if each had an effect before its export's end."""
    deleted_at = {deletion.request_id: deletion.at for deletion in deletions}
    by_export: dict[str, list[Sent]] = defaultdict(list)
    for message in sent:
        if message.event is not None:
            by_export[message.event["requestId"]].append(message)
    return Expected(
        lives={
            request_id: tuple(_lives(request_id, messages, deleted_at.get(request_id), ttl_seconds))
            for request_id, messages in by_export.items()
        },
        poison={message.message_id: message.body for message in sent if message.event is None},
        bodies={message.message_id: message.body for message in sent},
    )


def _lives(
    request_id: str, messages: Sequence[Sent], deleted_at: float | None, ttl_seconds: int
) -> Iterable[Life]:
    if deleted_at is None:
        parts: list[tuple[Literal["export.expired", "export.deleted"], list[Sent]]] = [
            ("export.expired", list(messages))
        ]
    else:
        parts = [
            ("export.deleted", [each for each in messages if each.at < deleted_at]),
            ("export.expired", [each for each in messages if each.at >= deleted_at]),
        ]
    for action, part in parts:
        created = {_created(each.event) for each in part if each.event is not None} - {None}
        if not created:
            continue
        ends_at = min(_ttl(moment, ttl_seconds) for moment in created if moment is not None)
        timely = [each for each in part if each.at < ends_at]
        endings = tuple(_endings(request_id, timely, ttl_seconds))
        if endings:
            yield Life(action, endings)


def _endings(request_id: str, timely: Sequence[Sent], ttl_seconds: int) -> Iterable[Ending]:
    events = [each.event for each in timely if each.event is not None]
    moments = [moment for event in events if (moment := _created(event)) is not None]
    if not moments:
        return
    furthest = max(RANK[event["status"]] for event in events)
    for status in sorted({event["status"] for event in events if RANK[event["status"]] == furthest}):
        losers = [
            each
            for each in timely
            if furthest == _FINAL and each.event is not None
            and RANK[each.event["status"]] == _FINAL and each.event["status"] != status
        ]  # fmt: skip
        contradicting = [each.event for each in losers]
        mine = [event for event in events if event["status"] == status]
        names = _stated("fileName", [event for event in events if event not in contradicting])
        item: dict[str, frozenset[Value]] = {
            "requestId": frozenset({request_id}),
            "status": frozenset({status}),
            "createdAt": frozenset(_written(moment.timestamp()) for moment in moments),
            "updatedAt": frozenset(_written(_moment(event["occurredAt"]).timestamp()) for event in mine),
            "ttl": frozenset(_ttl(moment, ttl_seconds) for moment in moments),
            # A contradicting event may have been folded with others and so have named the file, or not.
            "fileName": (names or frozenset({None})) | _stated("fileName", contradicting),
            "signedUrl": _stated("signedUrl", mine) or frozenset({None}),
            "error": _stated("error", mine, _cut) or frozenset({None}),
        }
        yield Ending(status, item, frozenset(each.message_id for each in losers))


def _stated(name: str, events: Iterable[Event | None], form: Callable[[str], str] = str) -> frozenset[Value]:
    return frozenset(
        form(event[name]) for event in events if event is not None and event.get(name) is not None
    )


def _created(event: Event | None) -> datetime | None:
    if event is None:
        return None
    if event.get("createdAt") is not None:
        return _moment(event["createdAt"])
    return _moment(event["occurredAt"]) if event["status"] == "pending" else None


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def _ttl(created: datetime, ttl_seconds: int) -> int:
    return math.floor(created.timestamp()) + ttl_seconds


def _written(seconds: float) -> str:
    moment = datetime.fromtimestamp(round(seconds * 1_000) / 1_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{round(moment.microsecond / 1_000):03d}Z"


def _cut(error: str) -> str:
    return error.encode()[:_MAX_ERROR_BYTES].decode(errors="ignore")


def _masked(text: Any) -> Value:
    return _QUERY.sub("", text) if isinstance(text, str) else None
