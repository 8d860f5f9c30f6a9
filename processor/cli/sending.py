"""Sends events to the event queue in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

from processor.aws.message_attributes import Attributes
from processor.aws.sqs import BatchResult, batch_call, runs

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

TRIES = 4


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event to send, with what the queue is to deliver next to its body.

    Attributes:
        body: the message's body.
        attributes: the message attributes.
        group_id: MessageGroupId; required on a FIFO queue.
        trace_header: AWSTraceHeader.
        deduplication_id: MessageDeduplicationId, on a FIFO queue only.
    """

    body: str
    attributes: Attributes = field(default_factory=dict)
    group_id: str | None = None
    trace_header: str | None = None
    deduplication_id: str | None = None

    def entry(self) -> dict[str, Any]:
        """The event as an entry of SendMessageBatch, without `Id`."""
        header = {"DataType": "String", "StringValue": self.trace_header}
        optional = {
            "MessageAttributes": self.attributes,
            "MessageGroupId": self.group_id,
            "MessageDeduplicationId": self.deduplication_id,
            "MessageSystemAttributes": {"AWSTraceHeader": header} if self.trace_header else None,
        }
        return {"MessageBody": self.body} | {name: value for name, value in optional.items() if value}


def send(client: "SQSClient", url: str, events: Sequence[Outgoing]) -> Iterator[tuple[range, BatchResult]]:
    """Sends events, and repeats those that failed for SQS's reasons.

    Args:
        client: SQS.
        url: the queue's URL.
        events: any number.

    Yields:
        For each call the positions of its events, and what became of them by their position in the call.

    Raises:
        AwsError: if the queue is missing, forbidden or does not answer.
    """
    entries = [event.entry() for event in events]
    for run in runs(entries):
        batch = entries[run.start : run.stop]
        result = batch_call(client.send_message_batch, url, batch, stop=Event(), tries=TRIES)
        if result.error is not None and not result.done:
            raise result.error
        yield run, result
