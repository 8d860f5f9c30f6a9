"""`audit status` shows every unread shard and the day's counts, for people and as JSON lines."""

import json
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from processor.streams.leases.lease import new_lease, to_attributes
from tests.cli.conftest import Command
from tests.resources import leases_table, status_table


@pytest.fixture
def environment(embedded_aws: EmbeddedAws) -> dict[str, str]:
    """A table with a stream and a leases table without rows."""
    return embedded_aws.environment() | {
        "DYNAMODB_EXPORT_STATUS_TABLE": status_table(embedded_aws.client, ttl=True),
        "DYNAMODB_EXPORT_LEASES_TABLE": leases_table(embedded_aws.client),
    }


def only_shard(aws: EmbeddedAws, table: str) -> tuple[str, str]:
    """The stream's ARN and the id of its one shard."""
    streams: Any = aws.client("dynamodbstreams")
    arn = streams.list_streams(TableName=table)["Streams"][0]["StreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    return arn, shard["ShardId"]


def test_a_shard_that_no_task_reads_is_shown_and_then_its_reader(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command
) -> None:
    arn, shard_id = only_shard(embedded_aws, environment["DYNAMODB_EXPORT_STATUS_TABLE"])
    shown = command("audit", "status", environment=environment)
    assert (shown.status, shown.err) == (0, "")
    _, line, day = shown.lines
    assert line.split()[-4:] == ["no", "task", "reads", "it"]
    assert shard_id in line
    assert day.startswith("last 24 hours: ")
    row = to_attributes(new_lease(arn, shard_id, frozenset(), now=1.0, tracked_since=1.0))
    embedded_aws.client("dynamodb").put_item(
        TableName=environment["DYNAMODB_EXPORT_LEASES_TABLE"], Item=row | {"leaseOwner": {"S": "task-1"}}
    )
    assert "task-1" in command("audit", "status", environment=environment).lines[1]


def test_the_json_has_a_line_for_each_shard_and_the_days_counts_last(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command
) -> None:
    arn, shard_id = only_shard(embedded_aws, environment["DYNAMODB_EXPORT_STATUS_TABLE"])
    shard, day = [
        json.loads(line) for line in command("audit", "status", "--json", environment=environment).lines
    ]
    assert (shard["shardId"], shard["streamArn"], shard["reader"]) == (shard_id, arn, None)
    assert not shard["hasRow"]
    assert day["problem"] is None
    assert day["day"].keys() == {"expiredEntries", "quarantined", "deletedByTtl", "missing", "suspicious"}


def test_without_a_leases_table_it_is_one_line(environment: dict[str, str], command: Command) -> None:
    ran = command("audit", "status", environment=environment | {"DYNAMODB_EXPORT_LEASES_TABLE": "missing"})
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert "leases table missing does not exist" in ran.err
