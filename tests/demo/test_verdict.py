"""The demo's verdict passes a perfect run, and each fault that a run can have fails it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from processor.demo.board import Board, Rejection
from processor.demo.expectations import expected_endings
from processor.demo.observer import Change
from processor.demo.scenario import scenario
from processor.demo.verdict import verdict

TTL_SECONDS = 12
START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


def perfect() -> Board:
    sent = scenario(exports=40, ttl_seconds=TTL_SECONDS, seed=1, start=START)
    board = Board(planned=len(sent), sent=list(sent), exit_status=0)
    board.rejections = [Rejection(each.body, each.rejected_as, "") for each in sent if each.rejected_as]
    for number, ending in enumerate(expected_endings(sent, TTL_SECONDS).values()):
        pending = {**ending.item, "status": "pending"}
        board.changes += [
            Change(f"id-{number}-0", f"{number}0", removed=False, by_ttl=False, item=pending),
            Change(f"id-{number}", f"{number}1", removed=True, by_ttl=True, item=ending.item),
        ]
        entry = {
            "timestamp": "2026-11-22T10:00:20.000Z",
            "level": "info",
            "event": "audit",
            "auditId": f"id-{number}",
            **ending.audit_fields(),
            "deletedAt": f"{datetime.fromtimestamp(ending.expires + 3, UTC):%Y-%m-%dT%H:%M:%S}.000Z",
            "deletionLagSeconds": 3,
            "source": {"sequenceNumber": f"{number}1"},
        }
        board.audit_lines.append(entry)
    return board


def failures(board: Board) -> Sequence[str]:
    return [failure for check in verdict(board, TTL_SECONDS).checks for failure in check.failures]


def test_a_perfect_run_passes_also_with_entries_and_a_checkpoint_repeated() -> None:
    board = perfect()
    assert failures(board) == []
    board.audit_lines += board.audit_lines[:5]
    assert failures(board) == []


def with_entry(**fields: Any) -> Callable[[Board], Board]:
    def change(board: Board) -> Board:
        first, *rest = board.audit_lines
        return replace(board, audit_lines=[{**first, **fields}, *rest])

    return change


def with_one_more(**fields: Any) -> Callable[[Board], Board]:
    return lambda run: replace(run, audit_lines=[*run.audit_lines, {**run.audit_lines[0], **fields}])


def with_last_removal(item: Mapping[str, str | int], **fields: Any) -> Callable[[Board], Board]:
    def change(board: Board) -> Board:
        *rest, last = board.changes
        return replace(board, changes=[*rest, replace(last, item={**last.item, **item}, **fields)])

    return change


FAULTS: Mapping[str, tuple[Callable[[Board], Board], str]] = {
    "a message not sent": (lambda run: replace(run, planned=run.planned + 1), "1 messages were not sent"),
    "an export that stayed": (lambda run: replace(run, changes=run.changes[:-1]), "did not expire"),
    "a wrong status": (with_last_removal({"status": "stuck"}), "differs in status"),
    "an attribute too many": (with_last_removal({"extra": "x"}), "differs in extra"),
    "a deletion by hand": (with_last_removal({}, by_ttl=False), "was not deleted by TTL"),
    "an export that was not sent": (with_last_removal({"requestId": "stranger"}), "stranger was never sent"),
    "an entry missing": (lambda run: replace(run, audit_lines=run.audit_lines[1:]), "has 0 audit entries"),
    "two different audit entries": (with_one_more(auditId="other"), "has 2 audit entries"),
    "an entry of an export that lives": (
        with_one_more(requestId="alive"),
        "alive has an audit entry but did not expire",
    ),
    "a wrong last status": (with_entry(lastStatus="lost"), "differs in lastStatus"),
    "an unmasked error": (with_entry(error="https://x/?X-Amz-Signature=1"), "differs in error"),
    "another actor": (with_entry(actor=None), "differs in actor"),
    "another record's id": (with_entry(auditId="other"), "differs in auditId"),
    "another record's number": (with_entry(source={"sequenceNumber": "0"}), "differs in source"),
    "a wrong lag": (with_entry(deletionLagSeconds=0), "differs in deletionLagSeconds"),
    "a rejection missing": (lambda run: replace(run, rejections=run.rejections[1:]), "1 message missing"),
    "a good message rejected": (
        lambda run: replace(run, rejections=[*run.rejections, Rejection(run.sent[0].body, "invalid", "")]),
        "1 message too many, rejected as invalid",
    ),
    "a wrong outcome": (
        lambda run: replace(
            run, rejections=[*run.rejections[1:], run.rejections[0]._replace(outcome="early")]
        ),
        "rejected as early",
    ),
    "a message left": (lambda run: replace(run, waiting=1), "1 messages left"),
    "a leaked URL": (lambda run: replace(run, leaking_lines=2), "2 lines do"),
    "a failed drain": (lambda run: replace(run, exit_status=1), "exit status 1"),
}


@pytest.mark.parametrize(("fault", "wanted"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_found_and_named(fault: Callable[[Board], Board], wanted: str) -> None:
    assert any(wanted in failure for failure in failures(fault(perfect())))


def late(board: Board, count: int) -> Board:
    """A run on a slow machine: this many exports had an event handled an hour late, and show none."""
    exports = list(board.exports)[:count]
    sent = [each.event for each in board.sent if each.event and each.event["requestId"] in exports]
    return replace(
        board,
        handled={event["eventId"]: START.timestamp() + 3_600 for event in sent},
        changes=[change for change in board.changes if change.item["requestId"] not in exports],
        audit_lines=[line for line in board.audit_lines if line["requestId"] not in exports],
        rejections=[each for each in board.rejections if not any(name in each.body for name in exports)],
    )


def test_exports_whose_events_a_slow_machine_handled_too_late_are_not_judged() -> None:
    board = late(perfect(), 5)
    assert failures(board) == []
    assert verdict(board, TTL_SECONDS).uncertain == 5
    assert failures(replace(board, handled={})) != []
    (advice,) = failures(late(perfect(), 21))
    assert "try a longer --ttl-seconds" in advice


def test_each_entry_lacking_a_field_is_found() -> None:
    board = perfect()
    for name in board.audit_lines[0].keys() - {"timestamp", "level", "event", "requestId"}:
        first, *rest = board.audit_lines
        cut = {key: value for key, value in first.items() if key != name}
        assert failures(replace(board, audit_lines=[cut, *rest])), name
