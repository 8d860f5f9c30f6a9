"""The stream reader on real engines: listings, iterators, positions, and records in their raw form."""

import time
from typing import Any

import pytest

from processor.streams.api import StreamApi, position_of
from processor.streams.shards import StreamName, StreamStatus
from tests.conformance.conftest import Stand, shard_of, whole
from tests.resources import status_table
from tests.waiting import eventually

KEY = {"requestId": {"S": "a"}}
PENDING = {**KEY, "status": {"S": "pending"}, "ttl": {"N": "1795400000"}}
COMPLETED = {**PENDING, "status": {"S": "completed"}, "fileName": {"S": "größen.csv"}}


@pytest.fixture
def table(stand: Stand) -> str:
    """A table in whose stream an item comes, changes and goes."""
    table = status_table(stand.clients)
    dynamodb = stand.clients("dynamodb")
    dynamodb.put_item(TableName=table, Item=PENDING)
    dynamodb.put_item(TableName=table, Item=COMPLETED)
    dynamodb.delete_item(TableName=table, Key=KEY)
    return table


def test_a_stream_names_its_table_and_its_one_open_shard(api: StreamApi, table: str, stream: str) -> None:
    assert StreamName.of(stream).table == table
    shard_of(api, stream)
    listing = api.describe(stream)
    [shard] = listing.shards.values()
    assert (listing.status, listing.view_type) == (StreamStatus.ENABLED, "NEW_AND_OLD_IMAGES")
    assert (listing.complete, shard.parent_id, shard.ending_sequence_number) == (True, None, None)


def test_a_shard_has_no_children_even_where_the_filter_is_ignored(api: StreamApi, stream: str) -> None:
    assert api.children(stream, shard_of(api, stream)) == ()


def test_a_table_without_a_stream_has_none(api: StreamApi, stand: Stand) -> None:
    assert api.list_streams(status_table(stand.clients, stream=False)) == (frozenset(), True)
    assert api.list_streams("no-such-table") == (frozenset(), True)


def test_a_removal_is_raw_json_and_of_other_records_only_the_place_is_read(
    api: StreamApi, stream: str
) -> None:
    before = time.time()
    records = whole(api, stream).records
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    changes: list[Any] = [record["dynamodb"] for record in records]
    assert (changes[2]["Keys"], changes[2]["OldImage"]) == (KEY, COMPLETED)
    place = {"SequenceNumber", "ApproximateCreationDateTime"}
    assert all(change.keys() <= place for change in changes[:2])
    numbers = [int(change["SequenceNumber"]) for change in changes]
    assert numbers == sorted(set(numbers))
    assert records[2]["eventID"]
    for change in changes:
        moment = change["ApproximateCreationDateTime"]
        assert isinstance(moment, int | float), "Unix seconds, not what botocore makes of them"
        assert before - 120 < moment <= time.time()
    assert "userIdentity" not in records[2]


def test_reading_again_gives_the_same_records_with_the_same_ids(api: StreamApi, stream: str) -> None:
    assert whole(api, stream).records == whole(api, stream).records


def test_a_position_is_behind_its_record_and_the_last_one_is_caught_up(api: StreamApi, stream: str) -> None:
    records = whole(api, stream).records
    assert whole(api, stream, position_of(records[0])).records == records[1:]
    tip = api.page(api.iterator(stream, shard_of(api, stream), position_of(records[-1])))
    assert tip.records == ()
    assert tip.next_iterator is not None


def test_an_open_shard_goes_on_behind_its_last_page(
    api: StreamApi, stream: str, table: str, stand: Stand
) -> None:
    following = whole(api, stream).next_iterator
    assert following is not None
    stand.clients("dynamodb").put_item(TableName=table, Item=PENDING)
    [record] = eventually(lambda: api.page(following).records)
    assert record["eventName"] == "INSERT"
