"""The differences of the two engines in tests/README.md: a test for each line of its table."""

import time
from collections.abc import Callable

import pytest

from processor.aws.calls import call
from processor.aws.errors import AwsError
from processor.streams.api import StreamApi, position_of
from processor.streams.leases.lease import Position
from processor.streams.shards import StreamName, StreamStatus
from tests.conformance.conftest import Stand, whole
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


def error_name(of: Callable[[], object]) -> str:
    """The kind of error that a call ends with."""
    try:
        of()
    except AwsError as error:
        return type(error).__name__
    return "none"


def test_records_differ_in_repeats_times_and_numbers(api: StreamApi, stream: str, stand: Stand) -> None:
    found = whole(api, stream).records
    again = [] if stand.is_real else ["MODIFY"] * (REPEATS - 1)
    assert [record["eventName"] for record in found] == ["INSERT", *again, "REMOVE"]
    moments = [record["dynamodb"]["ApproximateCreationDateTime"] for record in found]
    assert all(moment == int(moment) for moment in moments)
    assert all(moment % 60 == 0 if stand.is_real else time.time() - moment < 30 for moment in moments)
    numbers = [record["dynamodb"]["SequenceNumber"] for record in found]
    assert all(21 <= len(number) <= 40 for number in numbers)
    assert all(number.startswith("0") == stand.is_real for number in numbers)


def test_dynamodb_local_has_its_own_region_and_account(stream: str, stand: Stand) -> None:
    assert StreamName.of(stream).region == ("ddblocal" if stand.is_real else "us-east-1")
    assert stream.split(":")[4] == ("000000000000" if stand.is_real else "123456789012")


def test_what_does_not_exist_is_another_error(api: StreamApi, stream: str, stand: Stand) -> None:
    shard_id = "shardId-00000001795399322062-f2e9ed84"
    other_stream = stream.replace(StreamName.of(stream).label, "2020-01-01T00:00:00.000")
    for ask, real, motos in (
        (lambda: api.page("no iterator"), "Rejected", "IteratorExpired"),
        (lambda: api.iterator(stream, shard_id, Position()), "NotFound", "Transient"),
        (lambda: api.describe(other_stream), "NotFound", "none"),
    ):
        assert error_name(ask) == (real if stand.is_real else motos)


def test_a_stream_can_be_closed_and_followed_by_another_in_dynamodb_local_only(
    api: StreamApi, stream: str, table: str, stand: Stand
) -> None:
    before = whole(api, stream).records
    dynamodb = stand.aws.dynamodb()
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    if not stand.is_real:
        assert error_name(lambda: api.describe(stream)) == "Transient"
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
