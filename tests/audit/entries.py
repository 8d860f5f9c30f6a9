"""Audit entries, sinks and puts for the tests of the audit pipeline."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers.audit import AuditEntry
from handlers.expiry import audit_entry
from processor.audit.sinks.base import Refusal, Sink, SinkUnavailable
from processor.aws.sqs import BatchResult
from processor.dead_letters import DeadLetter
from processor.streams.record_processor import Interrupted
from tests.handlers.test_expiry import SOURCE, image, record

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def expired(*request_ids: str, **old: Any) -> list[AuditEntry]:
    """Entries of these exports, made from stream records, with the ids `id-0`, `id-1` and so on."""
    made = [
        audit_entry(
            record(image(**old), Keys={"requestId": {"S": request_id}}) | {"eventID": f"id-{number}"},
            source=SOURCE,
            read_at=NOW,
        )
        for number, request_id in enumerate(request_ids)
    ]
    return [entry for entry in made if entry is not None]


(USUAL,) = expired("req-1")


def entry(audit_id: str, request_id: str, **changes: Any) -> AuditEntry:
    """An entry as the service makes them, of the usual size."""
    usual: dict[str, Any] = {
        "audit_id": audit_id,
        "request_id": request_id,
        "created_at": "2026-11-22T10:00:00.000Z",
        "updated_at": "2026-11-22T10:00:07.250Z",
        "expires_at": "2026-11-22T10:15:00.000Z",
        "deleted_at": "2026-11-22T10:15:41.000Z",
    }
    return msgspec.structs.replace(USUAL, **(usual | changes))


def ids_by_export(entries: Iterable[AuditEntry]) -> dict[str, list[str]]:
    """The audit ids of each export in the order in which they first appear."""
    seen: dict[str, dict[str, None]] = {}
    for each in entries:
        seen.setdefault(each.request_id, {})[each.audit_id] = None
    return {request_id: list(ids) for request_id, ids in seen.items()}


def always() -> bool:
    """`may_continue` of a reader that nothing stops."""
    return True


def put_all(sink: Sink, entries: Sequence[AuditEntry]) -> Sequence[Refusal]:
    """Puts entries into a sink that works at once; returns what it refuses."""
    put = sink.begin(entries)
    put.go_on(always)
    return put.refusals


class Clock:
    """Simulated seconds: waiting makes them pass."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class OneByOne:
    """A put of a test's sink, entry by entry; see `Put`.

    Args:
        entries: what to put.
        store: stores one entry; may raise `SinkUnavailable`.
        refusals: entries that the sink refuses.
        before: called before each entry.
    """

    entries: Sequence[AuditEntry]
    store: Callable[[AuditEntry], object]
    refusals: Sequence[Refusal] = ()
    before: Callable[[], object] = lambda: None
    durable: int = field(default=0, init=False)

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Stores the rest."""
        refused = {refusal.entry.audit_id for refusal in self.refusals}
        while self.durable < len(self.entries):
            self.before()
            if not may_continue():
                raise Interrupted
            each = self.entries[self.durable]
            if each.audit_id not in refused:
                self.store(each)
            self.durable += 1


class Shelf:
    """A sink that keeps entries, refuses those of some exports, and can be down.

    Args:
        name: the sink's.
        refused: request ids.
    """

    def __init__(self, name: str, *refused: str) -> None:
        self.name = name
        self.refused = refused
        self.entries: list[AuditEntry] = []
        self.is_down = False
        self.down_for: set[str] = set()
        """Audit ids that it does not take now."""
        self.failures = 0
        """How many of the next tries fail."""
        self.problem: BaseException | None = None
        """Why it is down."""

    @property
    def kept(self) -> list[str]:
        """The audit ids of its entries."""
        return [each.audit_id for each in self.entries]

    def by_export(self) -> dict[str, list[str]]:
        """The audit ids of each export, in the order in which they came."""
        return ids_by_export(self.entries)

    def begin(self, entries: Sequence[AuditEntry]) -> OneByOne:
        """See `Sink.begin`."""
        refusals = [
            Refusal(each, "requestId must be liked") for each in entries if each.request_id in self.refused
        ]
        return OneByOne(entries, self._store, refusals)

    def _store(self, each: AuditEntry) -> None:
        if self.is_down or self.failures or each.audit_id in self.down_for:
            self.failures = max(0, self.failures - 1)
            raise SinkUnavailable(f"{self.name} is down") from self.problem
        self.entries.append(each)


class LetterBox:
    """A dead-letter queue that keeps letters."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.is_down = False

    def send(self, letters: Sequence[DeadLetter]) -> BatchResult:
        """Takes them unless it is down."""
        if self.is_down:
            return BatchResult({}, {}, range(len(letters)))
        self.letters += letters
        return BatchResult(dict.fromkeys(range(len(letters)), "id"), {})
