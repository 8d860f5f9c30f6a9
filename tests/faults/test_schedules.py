"""The service loses nothing under faults, and the checker would see it if it did.

The runs are mostly waiting, so they go side by side; each test asks for the result of one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.faults.backends import Backends
from tests.faults.checker import Report
from tests.faults.fault_plan import Episode, Fault, FaultPlan
from tests.faults.run import run
from tests.faults.schedule import SHORT, Action, Move, Once, Schedule, draw

Reports = Callable[[str], Report]

pytestmark = [pytest.mark.dynamodb_local, pytest.mark.slow]

TABLE_OUT = Episode("Status.", Fault.ERROR, 0.5, 5.0)
SINK_OUT = Episode("Kinesis.", Fault.ERROR, 0.0, 7.0)
FIRST_SHARDS_UNREAD = Episode("Streams.GetRecords.first", Fault.THROTTLE, 0.0, 1_000.0)
FIRST_SHARDS_UNREAD_A_WHILE = replace(FIRST_SHARDS_UNREAD, end=14.0)
TABLE_UNSURE = Episode("Status.UpdateItem", Fault.THROTTLE, 0.0, 1_000.0, chance=0.65)
"""Of the writes, each of three tries, a quarter fail: too few to pause polling, and enough to lose exports
whose events are already deleted."""

TROUBLE = Schedule(
    seed=20,
    size=replace(SHORT, exports=80, messages=300, sending_seconds=3),
    tasks=1,
    receivers=4,
    write_mode="auto",
    shards=2,
    failover_seconds=2,
    plan=FaultPlan(episodes=(TABLE_OUT, FIRST_SHARDS_UNREAD)),
    ending_plan=FaultPlan(episodes=(SINK_OUT, FIRST_SHARDS_UNREAD_A_WHILE)),
    while_sending=(),
    while_ending=(Action(0.0, Move.ROLL_ALL), Action(5.0, Move.KILL)),
)
"""What each broken law needs to show: the table fails, the sink fails until the task is killed, children
can be read before their parents and are known, for the task that follows lists them."""

SCHEDULES = {
    "drawn": draw(1, SHORT),
    "trouble": TROUBLE,
    "trouble on boto3's own way": replace(TROUBLE, fast_calls="off"),
    "delete before write": replace(
        TROUBLE,
        broken_law="delete before write",
        write_mode="single",
        plan=FaultPlan(episodes=(TABLE_UNSURE,)),
        ending_plan=FaultPlan(),
        while_ending=(),
        audited_within_seconds=0.0,
    ),
    "checkpoint before sink": replace(
        TROUBLE,
        broken_law="checkpoint before sink",
        audited_within_seconds=30.0,
        plan=FaultPlan(),
        ending_plan=FaultPlan(episodes=(replace(SINK_OUT, end=1_000.0),)),
        while_ending=(Action(0.0, Move.KILL, Once.SINK_FAILED), Action(0.0, Move.HEAL)),
    ),
    "no ttl condition": replace(
        TROUBLE, broken_law="no ttl condition", reaped_after_seconds=40.0, while_ending=()
    ),
    "child before parent": replace(
        TROUBLE,
        broken_law="child before parent",
        ending_plan=FaultPlan(episodes=(FIRST_SHARDS_UNREAD,)),
        while_ending=(Action(0.0, Move.ROLL_ALL), Action(0.0, Move.HEAL, Once.AUDITED)),
    ),
}


@pytest.fixture(scope="module")
def reports(dynamodb_local: str, ministack: str, embedded_aws: EmbeddedAws) -> Iterator[Reports]:
    """`reports(name)`: what the checker found in the run of that name."""
    at = Backends(dynamodb_local, ministack, embedded_aws.endpoint_url)
    with ThreadPoolExecutor(len(SCHEDULES)) as pool:
        runs = {name: pool.submit(run, each, lambda: nullcontext(at)) for name, each in SCHEDULES.items()}
        yield lambda name: runs[name].result()


def test_a_drawn_schedule_of_faults_loses_nothing(reports: Reports) -> None:
    report = reports("drawn")
    assert report.is_clean, (SCHEDULES["drawn"].describe(), report.details())


@pytest.mark.parametrize("schedule", ["trouble", "trouble on boto3's own way"])
def test_the_trouble_that_shows_broken_laws_does_not_show_in_the_service_itself(
    schedule: str, reports: Reports
) -> None:
    report = reports(schedule)
    assert report.is_clean, report.details()


def test_deleting_before_writing_is_seen_as_loss(reports: Reports) -> None:
    report = reports("delete before write")
    assert report.lost, report.details()


def test_a_checkpoint_before_the_sink_is_seen_as_missing_audit(reports: Reports) -> None:
    report = reports("checkpoint before sink")
    assert report.missing_audit, report.details()


def test_a_write_without_the_ttl_condition_is_seen_as_wrong(reports: Reports) -> None:
    wrong = reports("no ttl condition").wrong
    assert any("lastStatus is 'failed'" in each or "has failed" in each for each in wrong), wrong


def test_a_child_read_before_its_parent_is_seen_as_wrong_order(reports: Reports) -> None:
    wrong = reports("child before parent").wrong
    assert any("audit entry 1" in each and "action is 'export.expired'" in each for each in wrong), wrong
