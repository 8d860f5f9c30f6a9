"""The differences of the two engines in tests/README.md: a test for each line of its table."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from processor.aws.calls import call
from processor.aws.errors import AwsError
from processor.streams.api import StreamApi, position_of
from processor.streams.leases.lease import Position
from processor.streams.shards import StreamName, StreamStatus
from tests.conformance.conftest import Stand
from tests.resources import leases_table, status_table
from tests.waiting import eventually

KEY = {"requestId": {"S": "a"}}
ITEM = {**KEY, "status": {"S": "pending"}}
REPEATS = 3


@pytest.fixture
def table(stand: Stand) -> str:
    """A table into which one item was put several times, unchanged, and then deleted."""
    table = status_table(stand.clients)
    for _ in range(REPEATS):
        stand.clients("dynamodb").put_item(TableName=table, Item=ITEM)
    stand.clients("dynamodb").delete_item(TableName=table, Key=KEY)
    return table


def records(api: StreamApi, stream: str) -> Sequence[Any]:
    """All records, once the last one has arrived."""

    def found() -> Sequence[Any]:
        [shard_id] = api.describe(stream).shards
        page = api.page(api.iterator(stream, shard_id, Position())).records
        return page if page and page[-1]["eventName"] == "REMOVE" else ()

    return eventually(found)


def error_name(*, of: Any) -> str:
    """The kind of error that a call ends with."""
    try:
        of()
    except AwsError as error:
        return type(error).__name__
    return "none"


def test_a_write_that_changes_nothing_is_a_record_in_moto_only(
    api: StreamApi, stream: str, stand: Stand
) -> None:
    names = [record["eventName"] for record in records(api, stream)]
    again = [] if stand.is_real else ["MODIFY"] * (REPEATS - 1)
    assert names == ["INSERT", *again, "REMOVE"]


def test_dynamodb_local_cuts_the_time_of_a_record_to_the_minute(
    api: StreamApi, stream: str, stand: Stand
) -> None:
    moments = [record["dynamodb"]["ApproximateCreationDateTime"] for record in records(api, stream)]
    assert all(moment == int(moment) for moment in moments)
    if stand.is_real:
        assert all(moment % 60 == 0 for moment in moments)
    else:
        assert all(time.time() - moment < 30 for moment in moments)


def test_sequence_numbers_begin_with_zeros_in_dynamodb_local(
    api: StreamApi, stream: str, stand: Stand
) -> None:
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records(api, stream)]
    assert all(21 <= len(number) <= 40 for number in numbers)
    assert all(number.startswith("0") == stand.is_real for number in numbers)


def test_dynamodb_local_has_its_own_region_and_account(stream: str, stand: Stand) -> None:
    assert StreamName.of(stream).region == ("ddblocal" if stand.is_real else "us-east-1")
    assert stream.split(":")[4] == ("000000000000" if stand.is_real else "123456789012")


def test_a_malformed_iterator_is_invalid_or_expired(api: StreamApi, stand: Stand) -> None:
    assert error_name(of=lambda: api.page("none")) == ("Rejected" if stand.is_real else "IteratorExpired")


def test_a_shard_that_does_not_exist_is_an_error_of_motos_own(
    api: StreamApi, stream: str, stand: Stand
) -> None:
    shard_id = "shardId-00000001795399322062-f2e9ed84"
    error = error_name(of=lambda: api.iterator(stream, shard_id, Position()))
    assert error == ("NotFound" if stand.is_real else "Transient")


def test_moto_finds_a_stream_by_its_tables_name_alone(api: StreamApi, stream: str, stand: Stand) -> None:
    another = stream.replace(StreamName.of(stream).label, "2020-01-01T00:00:00.000")
    assert error_name(of=lambda: api.describe(another)) == ("NotFound" if stand.is_real else "none")


def test_a_stream_can_be_closed_and_followed_by_another_in_dynamodb_local_only(
    api: StreamApi, stream: str, table: str, stand: Stand
) -> None:
    before = records(api, stream)
    dynamodb = stand.aws.dynamodb()
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    if not stand.is_real:
        assert error_name(of=lambda: api.describe(stream)) == "Transient"
        return
    [shard] = eventually(
        lambda: [each for each in api.describe(stream).shards.values() if each.ending_sequence_number]
    )
    assert api.describe(stream).status is StreamStatus.DISABLED
    assert shard.ending_sequence_number == position_of(before[-1]).sequence_number
    page = api.page(api.iterator(stream, shard.shard_id, Position()))
    assert page.records == before
    assert page.next_iterator is None, "the end comes with the last records"
    dynamodb.update_table(
        TableName=table,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    arns, _ = api.list_streams(table)
    assert len(arns) == 2
    assert stream in arns


def test_dynamodb_local_writes_numbers_in_their_shortest_form(stand: Stand) -> None:
    table, rows = leases_table(stand.clients), stand.aws.leases()
    key = {"leaseKey": {"S": "a"}}
    call(rows.put_item, TableName=table, Item={**key, "leaseCounter": {"N": "7.0"}})
    stored = call(rows.get_item, TableName=table, Key=key, ConsistentRead=True)["Item"]
    assert stored["leaseCounter"] == {"N": "7" if stand.is_real else "7.0"}
