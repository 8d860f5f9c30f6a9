"""`audit replay` puts every entry that the stream still holds again: in order, same ids, leases untouched."""

import errno
import itertools
import json
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.audit import AuditEntry
from processor.audit.replay import MAX_FAILURES, Replay
from processor.audit.sinks.base import SinkUnavailable
from processor.aws.errors import AwsError, NotFound, Transient
from processor.localaws.embedded_aws import EmbeddedAws
from processor.streams.api import StreamApi
from tests.audit.replay_world import KINDS, SECONDS, START, Sink, World
from tests.resources import audit_stream, leases_table, status_table, stream_records
from tests.waiting import eventually


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
    assert world.put_ids() == world.expected_ids(since)
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
    assert world.put_ids() == world.expected_ids()


def test_iterators_that_expire_midway_repeat_and_skip_nothing() -> None:
    world = World()
    for number in range(20):
        world.table.write(f"req-{number % 5}")
    world.client.faults.max_records = 3
    run = Replay(
        StreamApi(world.client),
        [world.sink],
        table="export-status",
        since=START,
        until=START,
        wait=world.clock.wait,
        clock=world.clock.now,
    )
    for page in run.pages():
        if page.entries:
            world.client.expire_iterators()
    assert world.put_ids() == world.expected_ids()


def test_empty_answers_on_the_way_are_not_the_tip() -> None:
    world = World()
    world.table.write("req-1")
    world.client.faults.empty_pages = 15
    world.replay()
    assert world.put_ids() == world.expected_ids() != {}


def test_a_closed_shard_is_read_to_its_end_however_many_answers_are_empty() -> None:
    world = World()
    world.table.write("req-1")
    world.change("roll", 0)
    world.client.faults.empty_pages = 500
    world.client.faults.hidden_ends = True
    world.replay()
    assert world.put_ids() == world.expected_ids() != {}


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
    assert world.put_ids() == world.expected_ids(since) != {}


def test_trimmed_records_are_reported_and_the_rest_is_put() -> None:
    world = World()
    world.table.write("req-1")
    world.change("later", 0)
    world.table.write("req-2")
    world.client.fail("TrimmedDataAccessException", operation="GetRecords")
    replayed = world.replay()
    assert any(page.trimmed for page in replayed)
    assert world.put_ids() == world.expected_ids()


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


def test_a_shard_that_is_not_found_once_loses_nothing() -> None:
    world = World()
    world.table.write("req-1")
    world.change("roll", 0)
    world.table.write("req-1")
    world.client.fail("ResourceNotFoundException", operation="GetShardIterator")
    replayed = world.replay()
    assert not any(page.trimmed for page in replayed)
    assert world.put_ids() == world.expected_ids()


def test_later_removals_do_not_keep_it_going() -> None:
    world = World()
    world.table.write("req-1")

    class Busy(StreamApi):
        def page(self, iterator: str) -> Any:
            world.clock.wait(1)
            world.table.write("req-2")
            return super().page(iterator)

    run = Replay(
        Busy(world.client),
        [world.sink],
        table="export-status",
        since=START,
        until=START + timedelta(seconds=5),
        wait=world.clock.wait,
        clock=world.clock.now,
    )
    assert len(list(run.pages())) < 20
    assert "req-1" in world.put_ids()


def test_a_sink_that_comes_back_gets_everything() -> None:
    world = World()
    world.table.write("req-1")
    world.sink.failures = MAX_FAILURES - 1
    world.replay()
    assert world.put_ids() == world.expected_ids()


def test_a_sink_that_stays_down_ends_it() -> None:
    world = World()
    world.table.write("req-1")
    world.sink.failures = 100
    with pytest.raises(SinkUnavailable):
        world.replay()


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
def test_a_standard_output_that_fails_ends_it_at_once_and_a_busy_one_is_waited_for(
    problem: OSError | None, *, waits: bool
) -> None:
    world = World()
    world.table.write("req-1")

    class Output(Sink):
        def store(self, entry: AuditEntry) -> None:
            raise SinkUnavailable("standard output takes no lines") from problem

    world.sink = Output()
    before = world.clock.now()
    with pytest.raises(SinkUnavailable if waits else OSError):
        world.replay()
    assert (world.clock.now() > before) is waits


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


def command(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "processor", "audit", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.slow
def test_the_command_puts_them_into_the_configured_sinks(embedded_aws: EmbeddedAws) -> None:
    client = embedded_aws.client("dynamodb")
    table, leases = status_table(embedded_aws.client, ttl=True), leases_table(embedded_aws.client)
    environment = embedded_aws.service_environment() | {
        "DYNAMODB_EXPORT_STATUS_TABLE": table,
        "DYNAMODB_EXPORT_LEASES_TABLE": leases,
        "KINESIS_EXPORT_AUDIT_STREAM": audit_stream(embedded_aws.client),
        "EXPORT_AUDIT_SINKS": "kinesis,log",
    }
    for number in range(20):
        client.put_item(
            TableName=table,
            Item={"requestId": {"S": f"req-{number}"}, "ttl": {"N": str(int(time.time()) - 5)}},
        )

    def removed() -> list[str]:
        records = stream_records(embedded_aws.client, table)
        return sorted(record["eventID"] for record in records if record["eventName"] == "REMOVE")

    eventually(lambda: len(removed()) == 20, SECONDS)
    counted = command(environment, "replay", "--since", "1h", "--dry-run")
    assert (counted.returncode, counted.stdout) == (0, "")
    assert counted.stderr == "20 entries would be put again, 0 of them refused by a sink\n"
    assert command(environment, "tail").stdout == ""
    done = command(environment, "replay", "--since", "1h")
    assert done.returncode == 0
    assert done.stderr == "20 entries were put again, 0 of them refused by a sink\n"
    assert sorted(json.loads(line)["auditId"] for line in done.stdout.splitlines()) == removed()
    tailed = command(environment, "tail").stdout.splitlines()
    assert sorted(json.loads(line)["auditId"] for line in tailed) == removed()
    assert client.scan(TableName=leases)["Items"] == []


@pytest.mark.parametrize(
    ("changes", "options", "status", "line"),
    [
        ({}, ["--since", "soon"], 2, "--since must be a duration such as 15m"),
        ({"DYNAMODB_EXPORT_STATUS_TABLE": "gone"}, ["--since", "1h"], 1, "the stream of the table gone does"),
        (
            {"EXPORT_AUDIT_SINKS": "kinesis", "KINESIS_EXPORT_AUDIT_STREAM": ""},
            ["--since", "1h"],
            2,
            "KINESIS_EXPORT_AUDIT_STREAM must be set",
        ),
    ],
)
def test_what_cannot_work_ends_with_one_line(
    embedded_aws: EmbeddedAws, changes: dict[str, str], options: list[str], status: int, line: str
) -> None:
    done = command(embedded_aws.service_environment() | changes, "replay", *options)
    assert (done.returncode, done.stdout) == (status, "")
    assert len(done.stderr.splitlines()) == 1
    assert line in done.stderr
