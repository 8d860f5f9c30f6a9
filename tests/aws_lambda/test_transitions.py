"""The function behind the queue: its answers, and the state of queues and table after them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from handlers.timestamps import format_timestamp
from processor.aws_lambda.transitions import TableUnavailable, TransitionsFunction, message_of
from processor.localaws.embedded_aws import EmbeddedAws
from processor.settings import SettingsError
from processor.transitions.messages import Message
from tests.aws_lambda.functions import Deployed
from tests.aws_lambda.mapping import Context, Record, failed, received, sqs_record
from tests.resources import drained_messages, item_of, messages_in


def event(request_id: str, status: str, **fields: Any) -> str:
    now = format_timestamp(datetime.now(UTC))
    return json.dumps({"requestId": request_id, "status": status, "occurredAt": now, **fields})


def pending(request_id: str) -> str:
    return event(request_id, "pending", createdAt=format_timestamp(datetime.now(UTC)))


def sent(at: Deployed, *bodies: str, group: str | None = None) -> list[Record]:
    """Sends messages and receives them as the mapping does."""
    for number, body in enumerate(bodies):
        more = {"MessageGroupId": group, "MessageDeduplicationId": f"{number}"} if group else {}
        at.sqs.send_message(QueueUrl=at.queue_url, MessageBody=body, **more)
    return received(at.sqs, at.queue_url)


def letters(at: Deployed) -> list[str]:
    found = drained_messages(at.aws.client, at.dlq_url)
    return [letter["MessageAttributes"]["rejectionOutcome"]["StringValue"] for letter in found]


def call(function: TransitionsFunction, records: list[Record]) -> list[str]:
    return failed(function({"Records": records}, Context()))


def test_the_mapping_s_record_is_the_message_that_sqs_gives(embedded_aws: EmbeddedAws) -> None:
    at = Deployed(embedded_aws)
    attributes = {
        "traceparent": {
            "DataType": "String",
            "StringValue": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        },
        "size": {"DataType": "Number.int", "StringValue": "7"},
        "digest": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    at.sqs.send_message(QueueUrl=at.queue_url, MessageBody="ü", MessageAttributes=attributes)
    [message] = at.sqs.receive_message(
        QueueUrl=at.queue_url, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    message["Attributes"] |= {
        "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "MessageGroupId": "g",
    }
    made = message_of(sqs_record(message, at.queue_url))
    assert made == Message.from_sqs(message)
    assert (made.attributes, made.group_id) == (attributes, "g")
    without = {
        name: value
        for name, value in sqs_record(message, at.queue_url).items()
        if name != "messageAttributes"
    }
    assert message_of(without).attributes == {}


def test_an_early_event_is_backed_off_and_at_its_last_receive_dead_lettered(
    embedded_aws: EmbeddedAws,
) -> None:
    at = Deployed(embedded_aws, max_receive_count=2)
    function = at.transitions()
    records = sent(at, event("req-early", "processing"), pending("req-1"))
    assert call(function, records) == [records[0]["messageId"]]
    assert item_of(embedded_aws.client, at.table, "req-1")
    assert letters(at) == []
    # The back-off, at most 2 s, has replaced the visibility timeout of five minutes.
    again = at.sqs.receive_message(QueueUrl=at.queue_url, WaitTimeSeconds=20)["Messages"]
    assert [message["MessageId"] for message in again] == [records[0]["messageId"]]
    records[0]["attributes"]["ApproximateReceiveCount"] = "2"
    assert call(function, records[:1]) == []
    assert letters(at) == ["early"]


def test_on_fifo_nothing_of_a_group_overtakes_a_message_that_stays(embedded_aws: EmbeddedAws) -> None:
    at = Deployed(embedded_aws, fifo=True)
    function = at.transitions()
    at.sqs.delete_queue(QueueUrl=at.dlq_url)
    records = sent(at, pending("req-1"), "poison", pending("req-2"), group="g")
    assert call(function, records) == [record["messageId"] for record in records[1:]]
    assert item_of(embedded_aws.client, at.table, "req-1")
    assert item_of(embedded_aws.client, at.table, "req-2") is None


def test_a_table_that_takes_no_writes_fails_the_batch_and_settles_what_is_settled(
    embedded_aws: EmbeddedAws,
) -> None:
    at = Deployed(embedded_aws)
    function = at.transitions()
    description = at.dynamodb.describe_table(TableName=at.table)["Table"]
    at.dynamodb.delete_table(TableName=at.table)
    records = sent(at, "poison", pending("req-1"))
    for _ in range(2):  # the second invocation finds the table down by its probe
        with pytest.raises(TableUnavailable):
            function({"Records": records}, Context())
        records = records[1:]
        assert messages_in(at.aws.client, at.queue_url) == 1
    assert letters(at) == ["invalid"]
    at.dynamodb.create_table(
        TableName=at.table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=description["AttributeDefinitions"],
        KeySchema=description["KeySchema"],
    )
    assert call(function, sent(at, pending("req-2"))[-1:]) == []
    assert item_of(embedded_aws.client, at.table, "req-2")


def test_a_timeout_that_leaves_no_time_for_a_write_is_a_wrong_setting(embedded_aws: EmbeddedAws) -> None:
    at = Deployed(embedded_aws)
    records = sent(at, pending("req-1"))
    with pytest.raises(SettingsError, match="timeout must be above 13 s"):
        at.transitions()({"Records": records}, Context(13.9))
    assert messages_in(at.aws.client, at.queue_url) == 1


def test_each_invocation_writes_one_metrics_line(
    embedded_aws: EmbeddedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    at = Deployed(embedded_aws, settings={"EXPORT_METRICS_SECONDS": "60"})
    function = at.transitions()
    for name in ("req-1", "req-2"):
        call(function, sent(at, pending(name), "poison"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [(line["Applied"], line["DeadLettered"]) for line in lines] == [(1, 1), (1, 1)]
