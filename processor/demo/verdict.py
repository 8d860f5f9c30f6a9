"""Compares what happened in the demo with what was expected."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processor.demo.expectations import (
    Ending,
    Sent,
    expected_endings,
    expected_rejections,
    sent_too_close_to_the_end,
)
from processor.demo.observer import Change

SIGNATURE = "X-Amz-Signature"
"""In every signed URL of the scenario, so it must be in no line of the service."""

AuditEntry = Mapping[str, Any]

_LINE_FIELDS = {"timestamp", "level", "event"}
_OWN_FIELDS = {"auditId", "deletedAt", "deletionLagSeconds", "source"}
_MAX_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was observed; the service itself contributes only its lines."""

    sent: Sequence[Sent]
    planned: int
    changes: Sequence[Change]
    audit_lines: Sequence[AuditEntry]
    rejected: Sequence[tuple[str, str]]
    """Body and outcome of each message in the dead-letter queue."""
    left_in_queue: int
    leaking_lines: int
    exit_status: int | None


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about the run, whether it held, and examples where it did not."""

    statement: str
    failures: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether it held."""
        return not self.failures


def verdict(evidence: Evidence, ttl_seconds: int) -> Sequence[Check]:
    """All checks, in the order of the report."""
    endings = expected_endings(evidence.sent, ttl_seconds)
    removals = {str(change.item["requestId"]): change for change in evidence.changes if change.removed}
    return [
        Check(
            "every event was sent, and none too late to say what must come of it",
            list(_sending(evidence, endings)),
        ),
        Check(f"{len(endings)} exports ended as their events say", list(_items(endings, removals))),
        Check("each expired export has exactly its audit entry", list(_audit(evidence, endings, removals))),
        Check(
            f"the dead-letter queue holds just the {len(expected_rejections(evidence.sent))} bad messages",
            list(_rejections(evidence)),
        ),
        Check(
            "the event queue is empty",
            [f"{evidence.left_in_queue} messages left"] if evidence.left_in_queue else [],
        ),
        Check(
            "no line of the service holds a signed URL",
            [f"{evidence.leaking_lines} lines do"] if evidence.leaking_lines else [],
        ),
        Check(
            "the service drained and exited with status 0",
            [] if evidence.exit_status == 0 else [f"exit status {evidence.exit_status}"],
        ),
    ]


def _sending(evidence: Evidence, endings: Mapping[str, Ending]) -> Iterator[str]:
    if len(evidence.sent) < evidence.planned:
        yield f"{evidence.planned - len(evidence.sent)} messages were not sent"
    close = sent_too_close_to_the_end(evidence.sent, endings)
    if close:
        yield f"this machine did not keep up with {close} events; try a longer --ttl-seconds"


def _items(endings: Mapping[str, Ending], removals: Mapping[str, Change]) -> Iterator[str]:
    for request_id, ending in endings.items():
        removal = removals.get(request_id)
        if removal is None:
            yield f"{request_id} did not expire"
        elif removal.item != ending.item:
            yield f"{request_id} {_difference(ending.item, removal.item)}"
        elif not removal.by_ttl:
            yield f"{request_id} was not deleted by TTL"
    for stranger in removals.keys() - endings.keys():
        yield f"{stranger} was never sent"


def _audit(
    evidence: Evidence, endings: Mapping[str, Ending], removals: Mapping[str, Change]
) -> Iterator[str]:
    entries: dict[str, dict[str, AuditEntry]] = defaultdict(dict)
    for line in evidence.audit_lines:
        entries[str(line.get("requestId"))][str(line.get("auditId"))] = line  # repeats are allowed
    for request_id, removal in removals.items():
        found = entries.pop(request_id, {})
        if len(found) != 1:
            yield f"{request_id} has {len(found)} audit entries"
        elif request_id in endings:
            yield from _entry(endings[request_id], removal, next(iter(found.values())))
    for stranger in entries:
        yield f"{stranger} has an audit entry but did not expire"


def _entry(ending: Ending, removal: Change, line: AuditEntry) -> Iterator[str]:
    request_id = ending.item["requestId"]
    entry = {name: value for name, value in line.items() if name not in _LINE_FIELDS}
    fixed = {name: value for name, value in entry.items() if name not in _OWN_FIELDS}
    if fixed != ending.audit_fields():
        yield f"{request_id}'s entry {_difference(ending.audit_fields(), fixed)}"
    if _OWN_FIELDS - entry.keys():
        yield f"{request_id}'s entry lacks {', '.join(sorted(_OWN_FIELDS - entry.keys()))}"
        return
    if (entry["auditId"], entry["source"]["sequenceNumber"]) != (removal.event_id, removal.sequence_number):
        yield f"{request_id}'s entry names another stream record"
    lag = datetime.fromisoformat(entry["deletedAt"]).timestamp() - ending.expires
    reported = entry["deletionLagSeconds"]
    if reported != lag or lag < 0:
        yield f"{request_id}'s entry reports {reported} s late, deleted {lag:g} s after its ttl"


def _rejections(evidence: Evidence) -> Iterator[str]:
    expected, found = Counter(expected_rejections(evidence.sent)), Counter(evidence.rejected)
    for (_, outcome), count in (expected - found).items():
        yield f"{count} message missing that had to be rejected as {outcome}"
    for (_, outcome), count in (found - expected).items():
        yield f"{count} message too many, rejected as {outcome}"


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    shown = [name for name in names if name in {"status", "lastStatus", "finished", "action"}]
    details = [f"{name} is {found.get(name)}, not {expected.get(name)}" for name in shown]
    return "; ".join(details) if details else f"differs in {', '.join(names)}"
