"""The demo's verdict passes a perfect run, and each fault that a run can have fails it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processor.demo.expectations import Sent, expected_endings, expected_rejections
from processor.demo.observer import Change
from processor.demo.scenario import scenario
from processor.demo.verdict import Evidence, verdict

TTL_SECONDS = 12
START = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


def perfect() -> Evidence:
    sendings = scenario(exports=40, ttl_seconds=TTL_SECONDS, seed=1, start=START)
    sent = [Sent(each, START + timedelta(seconds=each.after_seconds)) for each in sendings]
    changes, audit_lines = [], []
    for number, ending in enumerate(expected_endings(sent, TTL_SECONDS).values()):
        changes += [
            Change(
                f"id-{number}-0",
                f"{number}0",
                removed=False,
                by_ttl=False,
                item={**ending.item, "status": "pending"},
            ),
            Change(f"id-{number}", f"{number}1", removed=True, by_ttl=True, item=ending.item),
        ]
        audit_lines.append(
            {
                "timestamp": "2026-11-22T10:00:20.000Z",
                "level": "info",
                "event": "audit",
                "auditId": f"id-{number}",
                **ending.audit_fields(),
                "deletedAt": f"{datetime.fromtimestamp(ending.expires + 3, UTC):%Y-%m-%dT%H:%M:%S}.000Z",
                "deletionLagSeconds": 3,
                "source": {"sequenceNumber": f"{number}1"},
            }
        )
    return Evidence(
        sent=sent,
        planned=len(sent),
        changes=changes,
        audit_lines=audit_lines,
        rejected=expected_rejections(sent),
        left_in_queue=0,
        leaking_lines=0,
        exit_status=0,
    )


def failures(evidence: Evidence) -> Sequence[str]:
    return [failure for check in verdict(evidence, TTL_SECONDS) for failure in check.failures]


def test_a_perfect_run_passes_also_with_entries_and_a_checkpoint_repeated() -> None:
    evidence = perfect()
    assert failures(evidence) == []
    assert failures(replace(evidence, audit_lines=[*evidence.audit_lines, *evidence.audit_lines[:5]])) == []


def with_entry(**fields: Any) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        first, *rest = evidence.audit_lines
        return replace(evidence, audit_lines=[{**first, **fields}, *rest])

    return change


def with_last_item(**attributes: str | int) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        *rest, last = evidence.changes
        item: Mapping[str, str | int] = {**last.item, **attributes}
        return replace(evidence, changes=[*rest, replace(last, item=item)])

    return change


def with_last_removal(**fields: Any) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        *rest, last = evidence.changes
        return replace(evidence, changes=[*rest, replace(last, **fields)])

    return change


FAULTS: Mapping[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "a message not sent": (lambda run: replace(run, planned=run.planned + 1), "1 messages were not sent"),
    "an export that stayed": (lambda run: replace(run, changes=run.changes[:-1]), "did not expire"),
    "a wrong status": (with_last_item(status="stuck"), "status is stuck"),
    "a wrong ttl": (with_last_item(ttl=1), "differs in ttl"),
    "an attribute too many": (with_last_item(extra="x"), "differs in extra"),
    "a deletion by hand": (with_last_removal(by_ttl=False), "was not deleted by TTL"),
    "an export that was not sent": (with_last_item(requestId="stranger"), "stranger was never sent"),
    "an audit entry missing": (
        lambda run: replace(run, audit_lines=run.audit_lines[1:]),
        "has 0 audit entries",
    ),
    "two different audit entries": (
        lambda run: replace(run, audit_lines=[*run.audit_lines, {**run.audit_lines[0], "auditId": "other"}]),
        "has 2 audit entries",
    ),
    "an entry of an export that lives": (
        lambda run: replace(
            run, audit_lines=[*run.audit_lines, {**run.audit_lines[0], "requestId": "alive"}]
        ),
        "alive has an audit entry but did not expire",
    ),
    "a wrong last status": (with_entry(lastStatus="lost"), "lastStatus is lost"),
    "a wrong action": (with_entry(action="export.deleted"), "action is export.deleted"),
    "an unmasked error": (with_entry(error="https://x/?X-Amz-Signature=1"), "differs in error"),
    "a field too many": (with_entry(more=1), "differs in more"),
    "another actor": (with_entry(actor=None), "differs in actor"),
    "another record's id": (with_entry(auditId="other"), "names another stream record"),
    "another record's number": (with_entry(source={"sequenceNumber": "0"}), "names another stream record"),
    "a wrong lag": (with_entry(deletionLagSeconds=0), "reports 0 s late, deleted 3 s after its ttl"),
    "a rejection missing": (lambda run: replace(run, rejected=run.rejected[1:]), "1 message missing"),
    "a good message rejected": (
        lambda run: replace(run, rejected=[*run.rejected, (run.sent[0].sending.body, "invalid")]),
        "1 message too many, rejected as invalid",
    ),
    "a wrong outcome": (
        lambda run: replace(run, rejected=[*run.rejected[1:], (run.rejected[0][0], "early")]),
        "rejected as early",
    ),
    "a message left": (lambda run: replace(run, left_in_queue=1), "1 messages left"),
    "a leaked URL": (lambda run: replace(run, leaking_lines=2), "2 lines do"),
    "a failed drain": (lambda run: replace(run, exit_status=1), "exit status 1"),
    "a killed service": (lambda run: replace(run, exit_status=None), "exit status None"),
}


@pytest.mark.parametrize(("fault", "wanted"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_is_found_and_named(fault: Callable[[Evidence], Evidence], wanted: str) -> None:
    assert any(wanted in failure for failure in failures(fault(perfect())))


def test_a_slow_machine_gets_the_advice_of_a_longer_ttl() -> None:
    evidence = perfect()
    slow = [Sent(each.sending, each.at + timedelta(seconds=4)) for each in evidence.sent]
    assert any("try a longer --ttl-seconds" in failure for failure in failures(replace(evidence, sent=slow)))


def test_each_entry_lacking_a_field_is_found() -> None:
    evidence = perfect()
    for name in evidence.audit_lines[0].keys() - {"timestamp", "level", "event", "requestId"}:
        first, *rest = evidence.audit_lines
        cut = {key: value for key, value in first.items() if key != name}
        assert failures(replace(evidence, audit_lines=[cut, *rest])), name
