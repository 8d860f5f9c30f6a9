"""The shorter way and boto3's own give the same answers and errors, on every emulator."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.aws.both_ways import WAYS, BothWays
from tests.resources import ClientFactory, audit_stream, queue_pair, status_table

ENGINES = ["moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local), "ministack"]
NEW = {
    "ConditionExpression": "attribute_not_exists(requestId)",
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
KEY = {"requestId": {"S": "one"}}
ITEM = KEY | {"b": {"B": b"\x00"}, "n": {"N": "1.5"}, "s": {"SS": ["x"]}, "m": {"M": {"l": {"L": []}}}}
SET_TTL = {
    "UpdateExpression": "SET #t = :t",
    "ExpressionAttributeNames": {"#t": "ttl"},
    "ExpressionAttributeValues": {":t": {"N": "7"}},
}
ON_THE_TABLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("put_item", {"Item": ITEM}),
    ("put_item", {"Item": ITEM, "ReturnValues": "ALL_OLD"}),
    ("put_item", {"Item": ITEM, **NEW}),
    ("get_item", {"Key": KEY, "ConsistentRead": True}),
    ("get_item", {"Key": {"requestId": {"S": "none"}}}),
    ("get_item", {"Key": {"wrong": {"S": "none"}}}),
    ("update_item", {"Key": KEY, "ReturnValues": "ALL_NEW", **SET_TTL}),
    ("update_item", {"Key": KEY, "UpdateExpression": "SET nonsense"}),
    ("update_item", {"Key": KEY, "UpdateExpression": "REMOVE x", **NEW}),
    ("get_item", {"Key": KEY, "TableName": "no-such-table"}),
)


@pytest.fixture(params=ENGINES)
def engine(
    request: pytest.FixtureRequest, clients: Callable[[str], ClientFactory]
) -> tuple[str, ClientFactory]:
    """An emulator's URL, and clients of it."""
    embedded = request.param == "moto"
    found = request.getfixturevalue("embedded_aws" if embedded else request.param)
    url: str = found.endpoint_url if embedded else found
    return url, clients(url)


def alike(both: BothWays, method: str, arguments: dict[str, Any]) -> Any:
    """The answer or error of a call that may be made twice."""
    ends = [both.call(way, method, arguments) for way in WAYS]
    assert ends[0] == ends[1], method
    return ends[0]


def test_a_table_both_ways(engine: tuple[str, ClientFactory]) -> None:
    url, factory = engine
    both, table = BothWays("dynamodb", url), status_table(factory)
    for method, arguments in ON_THE_TABLE:
        alike(both, method, {"TableName": table, **arguments})
    deleted = []
    for way in WAYS:
        both.call(way, "put_item", {"TableName": table, "Item": ITEM})
        deleted.append(
            both.call(way, "delete_item", {"TableName": table, "Key": KEY, "ReturnValues": "ALL_OLD"})
        )
    assert deleted[0] == deleted[1]
    assert deleted[0][1]["Attributes"] == ITEM
    both.call("short", "put_item", {"TableName": table, "Item": ITEM})
    select = {"Statement": f'SELECT * FROM "{table}"', "Parameters": [{"S": "one"}]}  # noqa: S608 - no SQL
    alike(both, "batch_execute_statement", {"Statements": [select]})
    found = alike(both, "batch_get_item", {"RequestItems": {table: {"Keys": [KEY]}}})
    assert found[1]["Responses"][table] == [ITEM]


@pytest.mark.parametrize("engine", ["moto", "ministack"], indirect=True)
def test_a_queue_both_ways(engine: tuple[str, ClientFactory]) -> None:
    url, factory = engine
    both = BothWays("sqs", url)
    queue, _ = queue_pair(factory, visibility_seconds=0)
    attributes = {"a": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
    entries = [{"Id": "0", "MessageBody": "é 1", "MessageAttributes": attributes}]
    receive = {
        "QueueUrl": queue,
        "MaxNumberOfMessages": 1,
        "MessageAttributeNames": ["All"],
        "MessageSystemAttributeNames": ["SentTimestamp"],
    }
    ends: dict[str, list[Any]] = {}
    for way in WAYS:
        sent = both.call(way, "send_message_batch", {"QueueUrl": queue, "Entries": entries})
        received = both.call(way, "receive_message", receive)
        handle = received[1]["Messages"][0]["ReceiptHandle"]
        handles = [{"Id": "0", "ReceiptHandle": handle}, {"Id": "1", "ReceiptHandle": "nonsense"}]
        visible = [each | {"VisibilityTimeout": 0} for each in handles]
        changed = both.call(way, "change_message_visibility_batch", {"QueueUrl": queue, "Entries": visible})
        deleted = both.call(way, "delete_message_batch", {"QueueUrl": queue, "Entries": handles})
        ends[way] = [sent, received, changed, deleted]
    assert without_ids(ends["short"]) == without_ids(ends["boto3"])
    assert ends["short"][1][1]["Messages"][0]["MessageAttributes"]["a"]["BinaryValue"] == b"\x00\xff"
    alike(both, "send_message_batch", {"QueueUrl": queue, "Entries": []})
    alike(both, "get_queue_attributes", {"QueueUrl": queue, "AttributeNames": ["All"]})
    for method in ("receive_message", "get_queue_attributes"):
        assert alike(both, method, {"QueueUrl": queue + "-none"})[0] == "QueueDoesNotExist"


def without_ids(value: Any) -> Any:
    """Without what the queue gives to each message."""
    if isinstance(value, dict):
        given = {"MessageId", "ReceiptHandle", "SentTimestamp", "content-length"}
        return {key: without_ids(each) for key, each in value.items() if key not in given}
    return [without_ids(each) for each in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("engine", ["moto", "ministack"], indirect=True)
def test_a_kinesis_stream_both_ways(engine: tuple[str, ClientFactory]) -> None:
    url, factory = engine
    both, name = BothWays("kinesis", url), audit_stream(factory, shards=1)
    put = {"StreamName": name, "Records": [{"Data": b"\x00\xff", "PartitionKey": "é"}]}
    ends = [both.call(way, "put_records", put)[1] for way in WAYS]
    for end in ends:
        assert end["Records"][0].pop("SequenceNumber")
        end.pop("ResponseMetadata")
    assert ends[0] == ends[1]
    alike(both, "describe_stream_summary", {"StreamName": name})
    assert alike(both, "put_records", put | {"StreamName": "none"})[0] == "ResourceNotFoundException"
