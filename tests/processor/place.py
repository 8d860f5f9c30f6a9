"""What a service of the tests works on, events of this moment, and servers that do not answer."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from handlers.timestamps import format_timestamp, from_epoch_seconds
from processor.localaws.embedded_aws import EmbeddedAws
from tests.handlers.making import body
from tests.resources import item_of, leases_table, queue_pair, status_table

ONLY_TRANSITIONS = ("--only", "transitions")


class Place:
    """Fresh resources on the embedded AWS, and the settings that lead there."""

    def __init__(self, aws: EmbeddedAws, **queue: Any) -> None:
        self.aws = aws
        self.table = status_table(aws.client)
        self.leases = leases_table(aws.client)
        self.queue_url, self.dlq_url = queue_pair(aws.client, **queue)

    def settings(self, **changes: str) -> dict[str, str]:
        return {
            **self.aws.service_environment(),
            "DYNAMODB_EXPORT_STATUS_TABLE": self.table,
            "DYNAMODB_EXPORT_LEASES_TABLE": self.leases,
            "SQS_EXPORT_EVENTS_QUEUE_URL": self.queue_url,
            "SQS_EXPORT_EVENTS_DLQ_URL": self.dlq_url,
            **changes,
        }

    def send(self, *bodies: str) -> None:
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": text}
                for number, text in enumerate(bodies[start : start + 10])
            ]
            answer = self.aws.client("sqs").send_message_batch(QueueUrl=self.queue_url, Entries=entries)
            assert len(answer["Successful"]) == len(entries)

    def count(self, *which: str) -> int:
        """How many messages the queue holds: `Messages` (visible), `MessagesNotVisible` or both."""
        names = [f"ApproximateNumberOf{each}" for each in which or ("Messages", "MessagesNotVisible")]
        answer = self.aws.client("sqs").get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)
        return sum(int(number) for number in answer["Attributes"].values())

    def item(self, key: str) -> dict[str, Any] | None:
        return item_of(self.aws.client, self.table, key)


def now_text() -> str:
    return format_timestamp(from_epoch_seconds(time.time()))


def fresh(status: str = "pending", /, **changes: Any) -> str:
    """An event of this moment."""
    return body(status, **{"occurredAt": now_text(), **changes})


@contextmanager
def refused_endpoint() -> Iterator[str]:
    """A port that is bound and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
