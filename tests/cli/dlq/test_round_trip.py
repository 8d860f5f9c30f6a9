"""A producer's message stays the same through rejections, our redrive and SQS's own."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.conftest import Command
from tests.resources import queue_pair, status_table
from tests.support.proxy import Answer, Request, Upstream, proxy
from tests.support.service import ServiceProcess
from tests.transitions.test_messages import EIGHT
from tests.waiting import eventually

HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
BODY = '{"requestId": "req-1", "status": "lost", "occurredAt": "2026-11-22T10:00:00Z"}'


async def entry_by_entry(request: Request, upstream: Upstream) -> Answer:
    """Sends a batch's entries one by one: of a batch moto drops the system attributes, and SQS keeps them."""
    if request.target != "AmazonSQS.SendMessageBatch":
        return await upstream.ask(request)
    asked = json.loads(request.body)
    headers = request.headers | {"x-amz-target": "AmazonSQS.SendMessage"}
    successful = []
    for entry in asked["Entries"]:
        single = {name: value for name, value in entry.items() if name != "Id"}
        body = json.dumps(single | {"QueueUrl": asked["QueueUrl"]}).encode()
        answer = await upstream.ask(Request(request.line, headers, body))
        assert answer.status == 200, answer.body
        successful.append(json.loads(answer.body) | {"Id": entry["Id"]})
    return Answer(
        200,
        json.dumps({"Successful": successful, "Failed": []}).encode(),
        {"Content-Type": "application/x-amz-json-1.0"},
    )


class Rig:
    """The queues behind the front, and what happens to the one message in them.

    The command sends to a queue of its own, which stands for the one that the service reads: so the test can
    look at what comes back.
    """

    def __init__(self, embedded_aws: EmbeddedAws, front: str) -> None:
        self.queue_url, self.dlq_url = queue_pair(embedded_aws.client)
        self.seen_url, _ = queue_pair(embedded_aws.client)
        self.environment = embedded_aws.environment() | {
            "AWS_ENDPOINT_URL_SQS": front,
            "DYNAMODB_EXPORT_STATUS_TABLE": status_table(embedded_aws.client),
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.queue_url,
            "SQS_EXPORT_EVENTS_DLQ_URL": self.dlq_url,
        }
        self._sqs = boto3.client(
            "sqs",
            endpoint_url=front,
            region_name=self.environment["AWS_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def send(self, message: Mapping[str, Any]) -> None:
        """Puts a message into the service's queue."""
        header: Any = {"DataType": "String", "StringValue": message["Attributes"]["AWSTraceHeader"]}
        self._sqs.send_message(
            QueueUrl=self.queue_url,
            MessageBody=message["Body"],
            MessageAttributes=message["MessageAttributes"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageSystemAttributes={"AWSTraceHeader": header},
        )

    def take(self, url: str) -> dict[str, Any]:
        """Takes the only message out of a queue."""
        [message] = self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )["Messages"]
        self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return dict(message)

    def is_rejected(self) -> bool:
        """Whether the message is in the dead-letter queue, and no longer in the service's."""
        return self._messages(self.dlq_url) == 1 and self._messages(self.queue_url) == 0

    def _messages(self, url: str) -> int:
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in answer.values())


@pytest.fixture
def rig(embedded_aws: EmbeddedAws) -> Iterator[Rig]:
    with proxy(embedded_aws.endpoint_url, entry_by_entry) as front:
        yield Rig(embedded_aws, front)


def test_body_attributes_group_and_trace_header_come_back_each_time(
    rig: Rig, command: Command, tmp_path: Path
) -> None:
    system = {"MessageGroupId": "tenant-7", "AWSTraceHeader": HEADER}
    assert len(EIGHT) == 8
    (tmp_path / "service").mkdir()
    environment = rig.environment | {"SQS_EXPORT_EVENTS_QUEUE_URL": rig.seen_url}
    message: dict[str, Any] = {"Body": BODY, "MessageAttributes": EIGHT, "Attributes": system}
    with ServiceProcess(rig.environment, tmp_path / "service", "--only", "transitions") as service:
        for way in ("ours", "SQS's own, then ours"):
            rig.send(message)
            eventually(rig.is_rejected)
            if way != "ours":  # SQS moves a letter as it is
                rig.send(rig.take(rig.dlq_url))
                eventually(rig.is_rejected)
            redriven = command("dlq", "redrive", "--outcome", "invalid", environment=environment)
            assert redriven.status == 0, redriven.err
            message = rig.take(rig.seen_url)
            assert message["Body"] == BODY
            assert message["MessageAttributes"] == EIGHT
            assert {name: message["Attributes"][name] for name in system} == system
        service.stop()
