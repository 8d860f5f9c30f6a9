"""Received messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handlers.events import sent_timestamp


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of an SQS message."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: datetime | None
    group_id: str | None  # only on FIFO queues

    @classmethod
    def from_sqs(cls, message: Mapping[str, Any]) -> "Message":
        """Reads an entry of ReceiveMessage's answer.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: if the entry is not a message.
        """
        attributes = message.get("Attributes", {})
        message_id, handle, body = message["MessageId"], message["ReceiptHandle"], message.get("Body", "")
        if not type(message_id) is type(handle) is type(body) is str:
            raise TypeError("a message's id, handle and body must be text")
        return cls(
            message_id=message_id,
            receipt_handle=handle,
            body=body,
            receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
            sent_at=sent_timestamp(attributes.get("SentTimestamp")),
            group_id=attributes.get("MessageGroupId"),
        )


def newest_handles(messages: Iterable[Message]) -> list[Message]:
    """One delivery of each message, the one received last: only its handle is sure to delete it."""
    newest: dict[str, Message] = {}
    for message in messages:
        newest[message.message_id] = message
    return list(newest.values())
