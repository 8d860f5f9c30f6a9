"""An event queue and a dead-letter queue for one test, and the letters that tests of `dlq` put there."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.timestamps import format_timestamp
from processor.aws.message_attributes import attributes_to_json
from tests.cli.commands import Command, Ran
from tests.resources import ClientFactory, drained_messages, fresh_name, queue_pair

SECRET = "X-Amz-Signature=c0ffee"
EXPIRED = timedelta(hours=1)


class Queues:
    """An event queue with its dead-letter queue, and the settings that name them."""

    def __init__(
        self, clients: ClientFactory, settings: Mapping[str, str], command: Command, *, fifo: bool = False
    ) -> None:
        self.sqs = clients("sqs")
        self.command = command
        self.clients = clients
        self.url, self.dlq_url = queue_pair(clients, fifo=fifo)
        self.fifo = fifo
        self.environment = {
            **settings,
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.url,
            "SQS_EXPORT_EVENTS_DLQ_URL": self.dlq_url,
        }

    def run(self, *arguments: str, **settings: str) -> Ran:
        """Runs a command of the group `dlq` that finds these queues."""
        return self.command("dlq", *arguments, environment=self.environment | settings)

    def reject(
        self,
        body: str,
        outcome: str | None = "early",
        reason: str = "status must be pending, processing, completed or failed",
        *,
        source: str | None = None,
        group: str = "g",
        ago: timedelta = timedelta(minutes=5),
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> str:
        """Puts a letter into the dead-letter queue as the service does; its message id."""
        sent: dict[str, Any] = dict(attributes or {})
        if outcome is not None:
            values = {
                "rejectionOutcome": outcome,
                "rejectionReason": reason,
                "sourceMessageId": source or fresh_name("message"),
                "rejectedAt": format_timestamp(datetime.now(UTC) - ago),
            }
            if attributes:
                values["sourceAttributes"] = json.dumps(attributes_to_json(attributes))
            sent = {name: {"DataType": "String", "StringValue": value} for name, value in values.items()} | {
                "receiveCount": {"DataType": "Number", "StringValue": "3"}
            }
        fifo = {"MessageGroupId": group, "MessageDeduplicationId": fresh_name("d")} if self.fifo else {}
        answer = self.sqs.send_message(
            QueueUrl=self.dlq_url, MessageBody=body, MessageAttributes=sent, **fifo
        )
        return str(answer["MessageId"])

    def reject_many(self, count: int) -> None:
        """Puts letters with the bodies `body 0`, `body 1`, …"""
        for number in range(count):
            self.reject(f"body {number}")

    def waiting(self, url: str) -> tuple[int, int]:
        """How many messages are visible and how many other receivers hold."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def sent_back(self) -> list[dict[str, Any]]:
        """Takes what is in the event queue."""
        return list(drained_messages(self.clients, self.url))

    def letters(self) -> list[dict[str, Any]]:
        """Takes what is in the dead-letter queue."""
        return list(drained_messages(self.clients, self.dlq_url))

    def left(self) -> list[str]:
        """Takes what is in the dead-letter queue; the bodies."""
        return [message["Body"] for message in self.letters()]


def event(
    request_id: str = "req-1", *, age: timedelta = timedelta(seconds=5), status: str = "pending", **more: str
) -> str:
    """An event that occurred `age` ago."""
    occurred = format_timestamp(datetime.now(UTC) - age)
    return json.dumps({"requestId": request_id, "status": status, "occurredAt": occurred, **more})
