"""Event source mappings as Lambda runs them: they make the events, and act on what a function answers.

The shapes are those of "Using Lambda with Amazon SQS" and "Using AWS Lambda with Amazon DynamoDB" (AWS Lambda
Developer Guide).
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from processor.aws_lambda.runtime import Failures, Function

Record = dict[str, Any]
ACCOUNT = "123456789012"
TTL_IDENTITY = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@dataclass(frozen=True, slots=True)
class Context:
    """Lambda's context object, as far as a function uses it."""

    seconds: float = 120.0

    def get_remaining_time_in_millis(self) -> int:
        """The rest of the timeout."""
        return int(self.seconds * 1_000)


def failed(answer: Failures) -> list[str]:
    """The identifiers that a function reports, in Lambda's one form."""
    assert answer.keys() == {"batchItemFailures"}
    identifiers = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
    assert len(set(identifiers)) == len(identifiers)
    return identifiers


def sqs_record(message: Mapping[str, Any], queue_url: str) -> Record:
    """A record of an SQS mapping's event.

    Args:
        message: an entry of ReceiveMessage's answer.
        queue_url: where it was received.
    """
    record: Record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message["Attributes"]),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue_url.rsplit('/', 1)[1]}",
        "awsRegion": "us-east-1",
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def received(sqs: Any, queue_url: str, most: int = 10) -> list[Record]:
    """Receives a batch as the mapping does."""
    found = sqs.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=most,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )
    return [sqs_record(message, queue_url) for message in found.get("Messages", [])]


def _attribute(value: Mapping[str, Any]) -> Record:
    made: Record = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "BinaryValue" in value:
        return made | {"binaryValue": base64.b64encode(value["BinaryValue"]).decode()}
    return made | {"stringValue": value["StringValue"]}


def stream_record(record: Mapping[str, Any], stream_arn: str, *, by_ttl: bool) -> Record:
    """A record of a DynamoDB Streams mapping's event.

    Args:
        record: as boto3 gives it.
        stream_arn: where it was read.
        by_ttl: whether DynamoDB's TTL deleted the item.
    """
    change = dict(record["dynamodb"])
    written: datetime = change["ApproximateCreationDateTime"]
    made: Record = {
        "eventID": record["eventID"],
        "eventName": record["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": change | {"ApproximateCreationDateTime": float(int(written.timestamp()))},
        "eventSourceARN": stream_arn,
    }
    return made | {"userIdentity": dict(TTL_IDENTITY)} if by_ttl else made


@dataclass(slots=True)
class QueueMapping:
    """Polls a queue, calls the function, and deletes what it does not report as failed.

    Args:
        sqs: a client.
        queue_url: the event queue.
        function: what it calls.
        cut: the size of the next batch, at most ten.
        repeats: whether the next batch is sent to the function a second time.
    """

    sqs: Any
    queue_url: str
    function: Function
    cut: Callable[[], int]
    repeats: Callable[[], bool] = lambda: False
    waiting: dict[str, str] = field(default_factory=dict)
    """Messages that the function reported, with the handle of their last receive."""

    def receive(self) -> list[Record]:
        """The records of the next batch."""
        return received(self.sqs, self.queue_url, self.cut())

    def drain(self) -> None:
        """Polls until the queue is empty, or until a round in which no message is settled.

        In each round what stayed before is received again: the time of its back-off passes.
        """
        settled = 1
        while settled:
            settled = 0
            while records := self.receive():
                settled += self._send(records)
            waiting, self.waiting = self.waiting, {}
            for handle in waiting.values():
                self.sqs.change_message_visibility(
                    QueueUrl=self.queue_url, ReceiptHandle=handle, VisibilityTimeout=0
                )

    def _send(self, records: Sequence[Record]) -> int:
        event = {"Records": records}
        stays = failed(self.function(event, Context()))
        if self.repeats():
            failed(self.function(event, Context()))
        for record in records:
            if record["messageId"] in stays:
                self.waiting[record["messageId"]] = record["receiptHandle"]
            else:
                self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=record["receiptHandle"])
        return len(records) - len(stays)


def send_stream(
    function: Function, records: Sequence[Record], cuts: Iterable[int], seconds: Callable[[], float]
) -> int:
    """A shard of a stream mapping: each record is sent until the function has it.

    Args:
        function: what it calls.
        records: of one shard, in order.
        cuts: the sizes of the batches.
        seconds: the time left of each invocation.

    Returns:
        How often the function did not finish a batch.
    """
    position = unfinished = 0
    sizes = iter(cuts)
    while position < len(records):
        batch = records[position : position + next(sizes)]
        stays = failed(function({"Records": batch}, Context(seconds())))
        numbers = [each["dynamodb"]["SequenceNumber"] for each in batch]
        assert len(stays) <= 1
        position += numbers.index(stays[0]) if stays else len(batch)
        unfinished += len(stays)
    return unfinished
