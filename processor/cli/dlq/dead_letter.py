"""A dead letter for an operator: what was rejected, when and why."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from handlers.timestamps import format_timestamp, parse_timestamp
from processor.aws.message_attributes import attributes_to_json
from processor.cli.output import masked
from processor.cli.sending import Outgoing
from processor.transitions.messages import Message

UNMARKED = "unmarked"
"""The outcome shown for a message that SQS itself moved: it has no attributes of the service."""

UNMARKED_REASON = "moved by SQS itself after too many receives"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of the dead-letter queue, with the attributes of docs/contract.md, section 3.

    Attributes:
        message: the message, with its handle in the dead-letter queue.
        outcome: why it was rejected, in a word; `UNMARKED` where SQS moved it.
        reason: why, in a sentence.
        source_message_id: the id of the rejected message.
        source_receive_count: how often that was received; None if unknown.
        rejected_at: when; None if unknown.
    """

    message: Message
    outcome: str
    reason: str
    source_message_id: str
    source_receive_count: int | None
    rejected_at: datetime | None

    @classmethod
    def from_sqs(cls, raw: Mapping[str, Any]) -> "DeadLetter":
        """Reads an entry of ReceiveMessage's answer.

        Every sender to the queue can set any attribute: a malformed one counts as missing.
        """
        message = Message.from_sqs(raw)
        attributes = raw.get("MessageAttributes", {})
        texts = {name: str(value.get("StringValue", "")) for name, value in attributes.items()}
        count, rejected_at = texts.get("receiveCount", ""), None
        is_count = count.isascii() and count.isdigit() and len(count) < 10  # int() refuses too many
        with suppress(ValueError):
            rejected_at = parse_timestamp(texts.get("rejectedAt", ""))
        return cls(
            message=message,
            outcome=texts.get("rejectionOutcome") or UNMARKED,
            reason=texts.get("rejectionReason") or UNMARKED_REASON,
            source_message_id=texts.get("sourceMessageId") or message.message_id,
            source_receive_count=int(count) if is_count else None,
            rejected_at=rejected_at,
        )

    def outgoing(self) -> Outgoing:
        """The letter as the producer sent it: body, attributes, group and trace header."""
        message = self.message
        return Outgoing(message.body, message.attributes, message.group_id, message.trace_header)

    def age_seconds(self, now: datetime) -> int | None:
        """Whole seconds since the rejection; where its time is unknown, since the message was first sent."""
        since = self.rejected_at or self.message.sent_at
        return None if since is None else max(0, int((now - since).total_seconds()))

    def fields(self, now: datetime) -> dict[str, object]:
        """The fields of `dlq list --json`; URLs in texts are masked."""
        message = self.message
        fields: dict[str, object] = masked(
            {
                "body": message.body,
                "attributes": attributes_to_json(message.attributes),
                "groupId": message.group_id,
                "traceHeader": message.trace_header,
                "traceId": message.log_fields().get("trace_id"),
            }
        )
        return self.notes(now) | fields

    def notes(self, now: datetime) -> dict[str, object]:
        """When and why it was rejected, as JSON; URLs in texts are masked."""
        fields: dict[str, object] = masked(
            {
                "messageId": self.message.message_id,
                "sourceMessageId": self.source_message_id,
                "outcome": self.outcome,
                "reason": self.reason,
                "receiveCount": self.source_receive_count,
                "rejectedAt": None if self.rejected_at is None else format_timestamp(self.rejected_at),
                "ageSeconds": self.age_seconds(now),
            }
        )
        return fields
