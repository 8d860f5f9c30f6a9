"""Where moto is unlike AWS and it matters here, the embedded AWS behaves like AWS."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from processor.localaws.embedded_aws import EmbeddedAws
from processor.localaws.reaper import TTL_IDENTITY
from tests.resources import item_of, queue_pair, status_table, stream_arn, stream_records
from tests.waiting import eventually

YEAR = 365 * 24 * 3_600


def put(aws: EmbeddedAws, table: str, request_id: str, ttl: dict[str, str]) -> None:
    aws.client("dynamodb").put_item(TableName=table, Item={"requestId": {"S": request_id}, "ttl": ttl})


def seconds_from_now(seconds: float) -> dict[str, str]:
    return {"N": str(int(time.time() + seconds))}


def removals(aws: EmbeddedAws, table: str) -> Sequence[dict[str, Any]]:
    return [record for record in stream_records(aws.client, table) if record["eventName"] == "REMOVE"]


def test_an_expired_item_is_removed_with_the_identity_of_ttl(embedded_aws: EmbeddedAws) -> None:
    table, before = status_table(embedded_aws.client, ttl=True), int(time.time())
    put(embedded_aws, table, "deleted", seconds_from_now(600))
    embedded_aws.client("dynamodb").delete_item(TableName=table, Key={"requestId": {"S": "deleted"}})
    put(embedded_aws, table, "a", seconds_from_now(-1))
    eventually(lambda: len(removals(embedded_aws, table)) == 2)
    by_user, record = removals(embedded_aws, table)
    assert "userIdentity" not in by_user
    assert record["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    change = record["dynamodb"]
    assert change["Keys"] == {"requestId": {"S": "a"}}
    assert change["OldImage"]["requestId"] == {"S": "a"}
    assert "NewImage" not in change
    assert before <= change["ApproximateCreationDateTime"].timestamp() <= time.time()
    assert change["ApproximateCreationDateTime"].microsecond == 0
    assert item_of(embedded_aws.client, table, "a") is None


def test_an_update_that_creates_its_item_writes_one_record(embedded_aws: EmbeddedAws) -> None:
    table = status_table(embedded_aws.client)
    for value in ("first", "second"):
        embedded_aws.client("dynamodb").update_item(
            TableName=table,
            Key={"requestId": {"S": "a"}},
            UpdateExpression="SET fileName = :value",
            ExpressionAttributeValues={":value": {"S": value}},
        )
    records = stream_records(embedded_aws.client, table)
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY"]
    assert [record["dynamodb"]["NewImage"]["fileName"]["S"] for record in records] == ["first", "second"]
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert numbers[1] > numbers[0]


def test_only_a_number_of_the_past_five_years_expires_and_only_where_ttl_is_on(
    embedded_aws: EmbeddedAws,
) -> None:
    table, without = status_table(embedded_aws.client, ttl=True), status_table(embedded_aws.client)
    put(embedded_aws, without, "kept", seconds_from_now(-1))
    put(embedded_aws, table, "future", seconds_from_now(600))
    put(embedded_aws, table, "string", {"S": seconds_from_now(-1)["N"]})
    put(embedded_aws, table, "6 years ago", seconds_from_now(-6 * YEAR))
    put(embedded_aws, table, "expired", seconds_from_now(-1))
    [removal] = eventually(lambda: removals(embedded_aws, table))
    assert removal["dynamodb"]["Keys"] == {"requestId": {"S": "expired"}}
    assert removals(embedded_aws, without) == []


def test_no_reader_ever_sees_a_removal_without_its_identity(embedded_aws: EmbeddedAws) -> None:
    table, items = status_table(embedded_aws.client, ttl=True), 120

    def read() -> list[Any]:
        streams, arn = embedded_aws.client("dynamodbstreams"), stream_arn(embedded_aws.client, table)
        [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        start = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = streams.get_shard_iterator(StreamArn=arn, **start)["ShardIterator"]
        identities: list[Any] = []
        deadline = time.monotonic() + 60
        while len(identities) < items and time.monotonic() < deadline:
            page = streams.get_records(ShardIterator=iterator)
            iterator = page["NextShardIterator"]
            removed = [record for record in page["Records"] if record["eventName"] == "REMOVE"]
            identities += [record.get("userIdentity") for record in removed]
        return identities

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for number in range(items):
            put(embedded_aws, table, f"item-{number}", seconds_from_now(-1))
    assert [reader.result() for reader in readers] == [[TTL_IDENTITY] * items] * 3


def test_of_many_conditional_writes_at_once_exactly_one_passes(embedded_aws: EmbeddedAws) -> None:
    table, dynamodb = status_table(embedded_aws.client), embedded_aws.client("dynamodb")

    def create(request_id: str) -> str:
        try:
            dynamodb.update_item(
                TableName=table,
                Key={"requestId": {"S": request_id}},
                UpdateExpression="SET updatedAt = :now",
                ConditionExpression="attribute_not_exists(requestId)",
                ExpressionAttributeValues={":now": {"S": "x"}},
            )
        except ClientError as refused:
            return refused.response["Error"]["Code"]
        return "written"

    expected = {"written": 1, "ConditionalCheckFailedException": 7}
    with ThreadPoolExecutor(max_workers=8) as pool:
        for number in range(20):
            assert Counter(pool.map(create, [f"item-{number}"] * 8)) == expected


def test_a_long_poll_returns_as_soon_as_a_message_comes(embedded_aws: EmbeddedAws) -> None:
    queue_url, _ = queue_pair(embedded_aws.client)
    sqs = embedded_aws.client("sqs")
    with ThreadPoolExecutor(max_workers=1) as pool:
        started = time.monotonic()
        poll = pool.submit(sqs.receive_message, QueueUrl=queue_url, WaitTimeSeconds=20)
        sqs.send_message(QueueUrl=queue_url, MessageBody="x")
        assert [message["Body"] for message in poll.result()["Messages"]] == ["x"]
    assert time.monotonic() - started < 20


def test_a_client_that_hung_up_takes_no_message_with_it(embedded_aws: EmbeddedAws) -> None:
    queue_url, _ = queue_pair(embedded_aws.client)
    connection = connect(embedded_aws)
    connection.request("POST", "/", *call("AmazonSQS.ReceiveMessage", QueueUrl=queue_url, WaitTimeSeconds=20))
    connection.close()
    sqs = embedded_aws.client("sqs")
    sqs.send_message(QueueUrl=queue_url, MessageBody="x")
    [message] = sqs.receive_message(
        QueueUrl=queue_url, WaitTimeSeconds=5, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_a_fifo_group_in_flight_is_not_given_to_a_second_receiver(
    embedded_aws: EmbeddedAws,
) -> None:
    queue_url, _ = queue_pair(embedded_aws.client, fifo=True)
    sqs = embedded_aws.client("sqs")
    with ThreadPoolExecutor(max_workers=2) as pool:
        polls = [
            pool.submit(sqs.receive_message, QueueUrl=queue_url, WaitTimeSeconds=2, MaxNumberOfMessages=1)
            for _ in range(2)
        ]
        for body in "ab":
            sqs.send_message(
                QueueUrl=queue_url, MessageBody=body, MessageGroupId="g", MessageDeduplicationId=body
            )
        received = [message["Body"] for poll in polls for message in poll.result().get("Messages", [])]
    assert received == ["a"]


def test_an_unknown_shard_iterator_is_expired(embedded_aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError) as refused:
        embedded_aws.client("dynamodbstreams").get_records(ShardIterator="x" * 40)
    assert refused.value.response["Error"]["Code"] == "ExpiredIteratorException"


def test_a_connection_serves_many_requests_also_with_a_chunked_body(embedded_aws: EmbeddedAws) -> None:
    connection = connect(embedded_aws)
    body, headers = call("DynamoDB_20120810.ListTables")
    for chunked in (False, True, False):
        content: Any = iter([body[:1], body[1:]]) if chunked else body
        connection.request("POST", "/", content, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        assert embedded_aws.deployment.table in json.loads(answer.read())["TableNames"]
        assert answer.getheader("Connection") != "close"
        assert connection.sock is not None
    connection.close()


def connect(aws: EmbeddedAws) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(aws.endpoint_url.removeprefix("http://"), timeout=10)


def call(target: str, **parameters: object) -> tuple[bytes, dict[str, str]]:
    headers = {
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/any/aws4_request, "
        "SignedHeaders=host, Signature=s",
    }
    return json.dumps(parameters).encode(), headers
