"""A received message, and what was decided about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.events import ExportEvent, sent_timestamp
from handlers.transitions import Outcome


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
            LookupError, TypeError, ValueError, AttributeError: if it is none.
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


@dataclass(frozen=True, slots=True)
class EventResult:
    """What becomes of a message: the event's outcome, and what the log should say about it."""

    message: Message
    outcome: Outcome
    event: ExportEvent | None = None  # None where the body is no event
    reason: str = ""  # one sentence, the field and the rule, never the value
    late_seconds: float | None = None  # only with EXPIRED
    item_present: bool | None = None  # only with EXPIRED; None where nobody could tell
    untried: bool = False  # only with RETRY: no write was begun, so there is nothing to wait for


@dataclass(slots=True)
class SettlementPlan:
    """What becomes of a batch's messages. `durable`: their effect is, they are to be deleted. `left`: stay in
    the queue, for a back-off. `untried`: go back to it at once."""

    durable: list[Message] = field(default_factory=list)
    left: list[Message] = field(default_factory=list)
    untried: list[Message] = field(default_factory=list)

    def add(self, other: "SettlementPlan") -> None:
        """Adds a later step's messages."""
        self.durable += other.durable
        self.left += other.left
        self.untried += other.untried

    def keep_order(self, arrived: Iterable[Message]) -> None:
        """On FIFO: what came after a message that stays, in its group, stays as well.

        Args:
            arrived: the messages of this step in the order received.
        """
        staying = {message.message_id for message in (*self.left, *self.untried)}
        groups: set[str | None] = set()
        for message in arrived:
            if message.message_id in staying:
                groups.add(message.group_id)
            elif message.group_id in groups:
                self.durable.remove(message)
                self.left.append(message)


def newest_handles(messages: Iterable[Message]) -> list[Message]:
    """One delivery of each message, the one received last: only its handle is sure to delete it."""
    newest: dict[str, Message] = {}
    for message in messages:
        newest[message.message_id] = message
    return list(newest.values())


def waves(messages: Iterable[Message], export_of: Mapping[str, str | None]) -> list[list[Message]]:
    """Cuts a FIFO batch into steps, so that in each group an export's events wait for the ones before it.

    Within a step a group has events of one export only, in a row; they are folded.

    Args:
        messages: in the order received.
        export_of: the requestId by message id, None where the body is no event.
    """
    cut: list[list[Message]] = []
    last: dict[str | None, tuple[int, str | None]] = {}
    for message in messages:
        export = export_of[message.message_id]
        step, before = last.get(message.group_id, (-1, None))
        if step < 0 or export is None or export != before:
            step += 1
        last[message.group_id] = (step, export)
        if step == len(cut):
            cut.append([])
        cut[step].append(message)
    return cut
