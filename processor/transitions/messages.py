"""Received messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.events import sent_timestamp
from handlers.traces import TRACEPARENT, trace_id
from processor.aws.message_attributes import Attributes
from processor.dead_letters import producer_attributes


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of an SQS message.

    Attributes:
        message_id, receipt_handle, body: as SQS gives them.
        receive_count: how often the message was received, this time included.
        sent_at: when it was sent; None if unknown.
        group_id: the producer's MessageGroupId, if any, also on a standard queue.
        attributes: the producer's message attributes. A redriven dead letter has those of its original.
        trace_header: the system attribute AWSTraceHeader, if any.
        sender_id: who sent it last: the producer, SNS, EventBridge or an operator.
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: datetime | None
    group_id: str | None
    attributes: Attributes = field(default_factory=dict, hash=False)
    trace_header: str | None = None
    sender_id: str | None = None

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
            attributes=producer_attributes(message.get("MessageAttributes") or {}),
            trace_header=attributes.get("AWSTraceHeader"),
            sender_id=attributes.get("SenderId"),
        )

    def log_fields(self) -> dict[str, str]:
        """What every line about the message's event carries: its ids, and its trace id if it has one."""
        traceparent = self.attributes.get(TRACEPARENT, {}).get("StringValue")
        trace = trace_id(traceparent=traceparent, trace_header=self.trace_header, body=self.body)
        return {"message_id": self.message_id} | ({"trace_id": trace} if trace else {})


def newest_handles(messages: Iterable[Message]) -> list[Message]:
    """One delivery of each message, the one received last: only its handle is sure to delete it."""
    return list({message.message_id: message for message in messages}.values())
