"""Compares what happened in the demo with what was expected."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from processor.demo.board import Board
from processor.demo.expectations import Ending, expected_endings, uncertain_exports
from processor.demo.observer import Change

_LINE_FIELDS = {"timestamp", "level", "event"}


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about the run, whether it held, and examples where it did not."""

    statement: str
    failures: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the demo ended.

    Attributes:
        checks: in the order of the report.
        uncertain: how many exports were not judged, because the machine is slow.
    """

    checks: Sequence[Check]
    uncertain: int

    @property
    def failed(self) -> int:
        """How many checks did not hold."""
        return sum(bool(check.failures) for check in self.checks)


def verdict(board: Board, ttl_seconds: int) -> Verdict:
    """Judges a run that is over."""
    endings = expected_endings(board.sent, ttl_seconds)
    uncertain = uncertain_exports(board.sent, board.handled, endings)
    certain = {request_id: ending for request_id, ending in endings.items() if request_id not in uncertain}
    removals = {name: change for name, change in board.exports.items() if change.removed}
    bad = sum(each.rejected_as is not None for each in board.sent)
    lines, status = board.leaking_lines, board.exit_status
    checks: dict[str, Iterable[str]] = {
        "every message was sent": _sending(board, len(endings), len(uncertain)),
        f"{len(certain)} exports ended as their events say": _items(certain, uncertain, removals),
        "each expired export has exactly its audit entry": _audit(board, certain, removals),
        f"the dead-letter queue holds just the {bad} bad messages": _rejections(board, uncertain),
        "the event queue is empty": [f"{board.waiting} messages left"] if board.waiting else [],
        "no line of the service holds a signed URL": [f"{lines} lines do"] if lines else [],
        "the service drained and exited with status 0": [] if status == 0 else [f"exit status {status}"],
    }
    return Verdict([Check(text, list(failures)) for text, failures in checks.items()], len(uncertain))


def _sending(board: Board, exports: int, uncertain: int) -> Iterator[str]:
    if len(board.sent) < board.planned:
        yield f"{board.planned - len(board.sent)} messages were not sent"
    if uncertain * 2 > exports:
        yield f"this machine is too slow for {uncertain} exports; try a longer --ttl-seconds"


def _items(
    endings: Mapping[str, Ending], uncertain: set[str], removals: Mapping[str, Change]
) -> Iterator[str]:
    for request_id, ending in endings.items():
        removal = removals.get(request_id)
        if removal is None:
            yield f"{request_id} did not expire"
        elif removal.item != ending.item:
            yield f"{request_id} {_difference(ending.item, removal.item)}"
        elif not removal.by_ttl:
            yield f"{request_id} was not deleted by TTL"
    for stranger in removals.keys() - endings.keys() - uncertain:
        yield f"{stranger} was never sent"


def _audit(board: Board, endings: Mapping[str, Ending], removals: Mapping[str, Change]) -> Iterator[str]:
    # Repeats of an entry are allowed.
    entries = {(line.get("requestId"), line.get("auditId")): line for line in board.audit_lines}
    counts = Counter(request_id for request_id, _ in entries)
    for request_id, removal in removals.items():
        if counts[request_id] != 1:
            yield f"{request_id} has {counts[request_id]} audit entries"
        elif request_id in endings:
            yield from _entry(endings[request_id], removal, board.audit_entries[request_id])
    for stranger in counts.keys() - removals.keys():
        yield f"{stranger} has an audit entry but did not expire"


def _entry(ending: Ending, removal: Change, line: Mapping[str, Any]) -> Iterator[str]:
    found = {name: value for name, value in line.items() if name not in _LINE_FIELDS}
    deleted_at = found.get("deletedAt")
    expected = ending.audit_fields() | {
        "auditId": removal.event_id,
        "deletedAt": deleted_at,
        "deletionLagSeconds": deleted_at and datetime.fromisoformat(deleted_at).timestamp() - ending.expires,
        "source": {**found.get("source", {}), "sequenceNumber": removal.sequence_number},
    }
    if found != expected:
        yield f"{ending.item['requestId']}'s entry {_difference(expected, found)}"


def _rejections(board: Board, uncertain: set[str]) -> Iterator[str]:
    found = Counter((each.body, each.outcome) for each in board.rejections)
    allowed, required = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for sending in board.sent:
        if sending.rejected_as is not None:
            allowed[sending.body, sending.rejected_as] += 1
            is_certain = sending.event is None or sending.event["requestId"] not in uncertain
            required[sending.body, sending.rejected_as] += is_certain
    for (_, outcome), count in (required - found).items():
        yield f"{count} message missing that had to be rejected as {outcome}"
    for (_, outcome), count in (found - allowed).items():
        yield f"{count} message too many, rejected as {outcome}"


def _difference(expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    every = sorted(expected.keys() | found.keys())
    return f"differs in {', '.join(name for name in every if expected.get(name) != found.get(name))}"
