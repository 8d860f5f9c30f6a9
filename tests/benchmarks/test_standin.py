"""The stand-in answers as SQS and DynamoDB would wherever a consumer under measurement can tell."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from types_boto3_dynamodb import DynamoDBClient
from types_boto3_sqs import SQSClient

from handlers.events import decode
from handlers.export import Status
from handlers.transitions import Change
from handlers.writes import probe_arguments, probe_statement, statement, update_arguments
from tests.benchmarks.measuring import Consumer, StandIn, stand_in
from tests.benchmarks.standin_table import ACCOUNT, TABLE
from tests.benchmarks.standin_world import BLOCK, DLQ, QUEUE
from tests.benchmarks.transitions_bench import CAREFUL
from tests.resources import ClientFactory
from tests.waiting import eventually

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
URL = f"http://127.0.0.1/{ACCOUNT}/{QUEUE}"


@pytest.fixture
def service() -> Iterator[StandIn]:
    with stand_in(latency_ms=0) as running:
        yield running


@pytest.fixture
def sqs(service: StandIn, clients: Callable[[str], ClientFactory]) -> SQSClient:
    client: SQSClient = clients(service.endpoint)("sqs")
    return client


@pytest.fixture
def dynamodb(service: StandIn, clients: Callable[[str], ClientFactory]) -> DynamoDBClient:
    client: DynamoDBClient = clients(service.endpoint)("dynamodb")
    return client


def receive(sqs: SQSClient, wait_seconds: int = 0) -> list[tuple[str, str]]:
    """Bodies and receipt handles of up to ten messages."""
    answer = sqs.receive_message(QueueUrl=URL, MaxNumberOfMessages=10, WaitTimeSeconds=wait_seconds)
    return [(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", [])]


def change(status: Status, *, file_name: str | None = None, created: bool = True) -> Change:
    return Change(
        request_id="bench-7",
        status=status,
        updated_at=NOW,
        created_at=NOW if created else None,
        ttl=4_102_444_800 if created else None,
        file_name=file_name,
        signed_url=None,
        error=None,
    )


def test_it_makes_exactly_the_events_that_were_released(service: StandIn, sqs: SQSClient) -> None:
    assert receive(sqs) == []
    service.release(12)
    bodies = [body for _ in range(3) for body, _ in receive(sqs)]
    events = [decode(body, now=datetime.now(UTC)) for body in bodies]
    assert [event.request_id for event in events] == [f"bench-{number}" for number in range(12)]
    assert {event.status for event in events} == {Status.PENDING}
    assert all(abs(event.occurred_at - datetime.now(UTC)) < timedelta(minutes=1) for event in events)
    assert service.state()["calls"] == {"ReceiveMessage": 4}


def test_each_export_comes_three_times_in_its_order(service: StandIn, sqs: SQSClient) -> None:
    service.release(3 * BLOCK)
    seen: dict[str, list[Status]] = {}
    while batch := receive(sqs):
        for body, _ in batch:
            event = decode(body, now=datetime.now(UTC))
            seen.setdefault(event.request_id, []).append(event.status)
    assert len(seen) == BLOCK
    assert set(map(tuple, seen.values())) == {(Status.PENDING, Status.PROCESSING, Status.COMPLETED)}


def test_a_deleted_message_is_counted_once_and_one_made_visible_comes_back(
    service: StandIn, sqs: SQSClient
) -> None:
    service.release(2)
    (_, first), (body, second) = receive(sqs)
    for _ in range(2):
        sqs.delete_message_batch(QueueUrl=URL, Entries=[{"Id": "0", "ReceiptHandle": first}])
    sqs.change_message_visibility(QueueUrl=URL, ReceiptHandle=second, VisibilityTimeout=0)
    ((returned, _),) = receive(sqs, wait_seconds=5)
    assert json.loads(returned)["eventId"] == json.loads(body)["eventId"]
    assert service.state()["deleted"] == 1


def test_update_item_decides_by_the_life_of_an_export(dynamodb: DynamoDBClient) -> None:
    def code(arguments: dict[str, Any]) -> str | None:
        try:
            dynamodb.update_item(TableName=TABLE, **arguments)
        except ClientError as refused:
            return refused.response["Error"]["Code"] + (" with item" if "Item" in refused.response else "")
        return None

    refused, refused_with_item = (
        "ConditionalCheckFailedException",
        "ConditionalCheckFailedException with item",
    )
    assert code(update_arguments(change(Status.PROCESSING, created=False), NOW)) == refused
    assert code(update_arguments(change(Status.PENDING), NOW)) is None
    assert code(update_arguments(change(Status.PENDING), NOW)) == refused_with_item
    assert code(update_arguments(change(Status.COMPLETED, file_name="report.csv"), NOW)) is None
    assert code(update_arguments(change(Status.PROCESSING), NOW)) == refused_with_item
    assert code(probe_arguments("probe-1")) == refused


def test_statements_decide_as_dynamodb_does(dynamodb: DynamoDBClient) -> None:
    def code(wanted: Change) -> str | None:
        text = statement(wanted, TABLE, NOW)
        return first_code(text.text, *text.parameters)

    def first_code(text: str, *parameters: dict[str, str]) -> str | None:
        answer = dynamodb.batch_execute_statement(
            Statements=[
                {
                    "Statement": text,
                    "Parameters": list(parameters),
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            ]
        )
        return answer["Responses"][0].get("Error", {}).get("Code")

    probe = probe_statement("probe-1", TABLE)
    assert first_code(probe.text, *probe.parameters) == "ConditionalCheckFailed"
    assert code(change(Status.PROCESSING)) == "ConditionalCheckFailed"  # an UPDATE never creates
    assert code(change(Status.PENDING)) is None
    assert code(change(Status.PENDING)) == "DuplicateItem"
    assert code(change(Status.PROCESSING, file_name="report.csv")) is None
    assert code(change(Status.PROCESSING)) == "ConditionalCheckFailed"
    assert code(change(Status.COMPLETED, file_name="other.csv")) == "ConditionalCheckFailed"  # is kept
    assert code(change(Status.COMPLETED, file_name="report.csv")) is None


def test_what_a_service_asks_at_its_start_is_answered(sqs: SQSClient, dynamodb: DynamoDBClient) -> None:
    attributes = sqs.get_queue_attributes(QueueUrl=URL, AttributeNames=["All"])["Attributes"]
    assert attributes["RedrivePolicy"].count(DLQ) == 1
    assert sqs.get_queue_url(QueueName=DLQ)["QueueUrl"].endswith(f"/{DLQ}")
    assert dynamodb.describe_table(TableName=TABLE)["Table"]["TableStatus"] == "ACTIVE"
    assert dynamodb.get_item(TableName=TABLE, Key={"requestId": {"S": "none"}}).get("Item") is None
    with pytest.raises(ClientError, match="UnknownOperation"):
        dynamodb.list_tables()


def test_a_long_poll_waits_for_the_next_event(service: StandIn, sqs: SQSClient) -> None:
    eventually(lambda: not receive(sqs))
    service.release(1)
    assert len(receive(sqs, wait_seconds=5)) == 1


def test_the_careful_consumer_does_what_it_stands_for(tmp_path: Path) -> None:
    with Consumer(CAREFUL, 0, tmp_path) as running:
        running.warm_up(50)
        for _ in range(3):
            running.consume(100)
    measured = running.measured()
    assert measured.calls_per_event == pytest.approx(1.2, rel=0.1)
    assert measured.applied == 300
    assert (measured.refused, measured.dead_lettered) == (0, 0)
    assert measured.cpu_micros_per_event > 0
    assert measured.peak_mib > measured.late_mib * 0.9 > 10
