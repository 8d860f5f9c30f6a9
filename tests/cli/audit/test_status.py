"""`audit status` shows every unread shard and the day's counts, for people and as JSON lines."""

from typing import Any

import pytest

from processor.streams.leases.lease import new_lease, to_attributes
from tests.cli.conftest import Table


def test_each_unread_shard_has_a_line_and_the_day_s_counts_are_the_last(table: Table) -> None:
    streams: Any = table.clients("dynamodbstreams")
    arn = streams.list_streams(TableName=table.name)["Streams"][0]["StreamArn"]
    (only,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    shown = table.run("audit", "status")
    assert (shown.status, shown.err) == (0, "")
    _, line, last = shown.lines
    assert line.split()[-4:] == ["no", "task", "reads", "it"]
    assert only["ShardId"] in line
    assert last.startswith("last 24 hours: ")
    shard, day = table.run("audit", "status", "--json").records
    assert (shard["shardId"], shard["streamArn"], shard["reader"]) == (only["ShardId"], arn, None)
    assert not shard["hasRow"]
    assert day["problem"] is None
    assert day["day"].keys() == {"expiredEntries", "quarantined", "deletedByTtl", "missing", "suspicious"}
    row = to_attributes(new_lease(arn, only["ShardId"], frozenset(), now=1.0, tracked_since=1.0))
    leases = table.environment["DYNAMODB_EXPORT_LEASES_TABLE"]
    table.dynamodb.put_item(TableName=leases, Item=row | {"leaseOwner": {"S": "task-1"}})
    assert "task-1" in table.run("audit", "status").lines[1]


@pytest.mark.parametrize("kind", ["LEASES", "STATUS"])
def test_without_a_leases_table_or_a_stream_it_is_one_line(table: Table, kind: str) -> None:
    ran = table.run("audit", "status", **{f"DYNAMODB_EXPORT_{kind}_TABLE": "missing"})
    assert (ran.status, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert " table missing does not exist" in ran.err
