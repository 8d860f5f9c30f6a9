"""`audit replay` puts every entry that the stream still holds again: in order, same ids, leases untouched."""

import errno
import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.audit.replay import MAX_FAILURES
from processor.audit.sinks.base import SinkUnavailable
from processor.aws.errors import AwsError, NotFound, Transient
from processor.localaws.embedded_aws import EmbeddedAws
from tests.audit.replay_world import KINDS, START, World
from tests.cli.processes import run


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 100)), max_size=60), st.integers(0, 3))
def test_every_removal_since_then_is_put_once_in_the_order_of_its_export(
    changes: list[tuple[str, int]], minutes: int
) -> None:
    world = World()
    world.client.faults.max_records = 1  # so that no shard is read in one go
    for kind, number in changes:
        world.change(kind, number)
    since = START + timedelta(minutes=minutes)
    replayed = world.replay(since)
    world.check(since)
    assert sum(page.entries for page in replayed) == len(world.sink.entries)


PASSING = ["ThrottlingException", "InternalServerError", "LimitExceededException"]
OPERATIONS = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"]


@pytest.mark.parametrize(
    ("operation", "code"),
    [*itertools.product(OPERATIONS, PASSING), ("GetRecords", "ExpiredIteratorException")],
)
def test_what_passes_is_waited_out(operation: str, code: str) -> None:
    world = World(shards=2)
    for number in range(50):
        world.table.write(f"req-{number % 5}")
    world.client.faults.max_records = 3
    world.client.fail(code, times=4, operation=operation)
    world.replay()
    world.check()


def test_iterators_that_expire_midway_repeat_and_skip_nothing() -> None:
    world = World()
    for number in range(20):
        world.table.write(f"req-{number % 5}")
    world.client.faults.max_records = 3
    for page in world.run():
        if page.entries:
            world.client.expire_iterators()
    world.check()


@pytest.mark.parametrize(("is_closed", "empty_pages"), [(False, 15), (True, 500)])
def test_empty_answers_on_the_way_are_not_the_tip(*, is_closed: bool, empty_pages: int) -> None:
    world = World()
    world.table.write("req-1")
    if is_closed:
        world.change("roll", 0)
    world.client.faults.empty_pages, world.client.faults.hidden_ends = empty_pages, is_closed
    world.replay()
    assert world.sink.entries
    world.check()


def test_shards_that_ended_before_then_are_not_read() -> None:
    world = World()
    world.table.write("req-1")
    old = world.table.open_shards()[0].shard_id
    world.change("later", 0)
    world.change("roll", 0)
    world.change("later", 0)
    world.table.write("req-1")
    since = START + timedelta(minutes=2)
    world.replay(since)
    assert old not in world.client.reads
    assert world.sink.entries
    world.check(since)


@pytest.mark.parametrize(
    ("code", "operation"),
    [("TrimmedDataAccessException", "GetRecords"), ("ResourceNotFoundException", "GetShardIterator")],
)
def test_trimmed_records_are_reported_and_a_shard_that_is_not_found_once_loses_nothing(
    code: str, operation: str
) -> None:
    world = World()
    world.table.write("req-1")
    world.change("roll", 0)
    world.table.write("req-1")
    world.client.fail(code, operation=operation)
    replayed = world.replay()
    assert any(page.trimmed for page in replayed) is (operation == "GetRecords")
    world.check()


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_shard_that_is_gone_is_reported_and_its_children_are_read(*, is_listed: bool) -> None:
    world = World()
    world.table.write("req-1")
    parent = world.table.open_shards()[0].shard_id
    world.change("roll", 0)
    world.table.write("req-1")
    if is_listed:
        world.client.faults.unreadable.add(parent)
    else:
        # It goes after the replay has listed it.
        describe = world.client.describe_stream

        def list_and_drop(**arguments: Any) -> dict[str, Any]:
            answer = describe(**arguments)
            if parent in world.table.current.shards:
                world.table.drop_shard(parent)
            return answer

        world.client.describe_stream = list_and_drop  # type: ignore[method-assign]
    replayed = world.replay()
    assert any(page.trimmed for page in replayed)
    assert len(world.sink.entries) == 1


def test_later_removals_do_not_keep_it_going() -> None:
    world = World()
    world.table.write("req-1")
    for page in world.run(until=START + timedelta(seconds=5)):
        assert page.entries <= 1
        world.clock.wait(1)
        world.table.write("req-2")
    assert "req-1" in world.sink.by_export()
    assert len(world.sink.entries) < 20


def test_a_sink_that_comes_back_gets_everything() -> None:
    world = World()
    world.table.write("req-1")
    world.sink.failures = MAX_FAILURES - 1
    world.replay()
    world.check()


@pytest.mark.parametrize(
    ("problem", "waits"),
    [
        (BrokenPipeError(), False),
        (OSError(errno.ENOSPC, "full"), False),
        (BlockingIOError(), True),
        (None, True),
    ],
    ids=repr,
)
def test_a_sink_that_stays_down_ends_it_and_a_standard_output_that_fails_at_once(
    problem: OSError | None, *, waits: bool
) -> None:
    world = World()
    world.table.write("req-1")
    world.sink.is_down, world.sink.problem = True, problem
    before = world.clock()
    with pytest.raises(SinkUnavailable if waits else OSError):
        world.replay()
    assert (world.clock() > before) is waits


@pytest.mark.parametrize(
    ("code", "error"), [("InternalServerError", Transient), ("AccessDeniedException", AwsError)]
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_stream_that_cannot_be_read_ends_it(operation: str, code: str, error: type[AwsError]) -> None:
    world = World()
    world.client.fail(code, times=100, operation=operation)
    with pytest.raises(error, match=code):
        world.replay()


def test_a_table_without_a_stream_is_an_error() -> None:
    world = World()
    world.table.lose_stream(world.table.current.arn)
    with pytest.raises(NotFound):
        world.replay()


@pytest.mark.parametrize(
    ("changes", "since", "status", "line"),
    [
        ({}, "soon", 2, "--since must be a duration such as 15m"),
        ({"DYNAMODB_EXPORT_STATUS_TABLE": "gone"}, "1h", 1, "the stream of the table gone does"),
        ({"EXPORT_AUDIT_SINKS": "kinesis"}, "1h", 2, "KINESIS_EXPORT_AUDIT_STREAM must be set"),
    ],
)
def test_what_cannot_work_ends_with_one_line(
    embedded_aws: EmbeddedAws, changes: dict[str, str], since: str, status: int, line: str
) -> None:
    unset = {"KINESIS_EXPORT_AUDIT_STREAM": ""}
    environment = embedded_aws.service_environment() | unset | changes
    done = run("audit", "replay", "--since", since, environment=environment, cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (status, "")
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr
