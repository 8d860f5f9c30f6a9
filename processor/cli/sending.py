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
        group_id: MessageGroupId; required on a FIFO queue.
        deduplication_id: MessageDeduplicationId, on a FIFO queue only.
        attributes: the message attributes.
        trace_header: AWSTraceHeader.
    """

    body: str
    group_id: str | None = None
    deduplication_id: str | None = None
    attributes: Attributes = field(default_factory=dict)
    trace_header: str | None = None

    def entry(self) -> dict[str, Any]:
        """The event as an entry of SendMessageBatch, without `Id`."""
        header = {"DataType": "String", "StringValue": self.trace_header}
        optional = {
            "MessageGroupId": self.group_id,
            "MessageDeduplicationId": self.deduplication_id,
            "MessageAttributes": self.attributes or None,
            "MessageSystemAttributes": {"AWSTraceHeader": header} if self.trace_header else None,
        }
        return {
            "MessageBody": self.body,
            **{name: value for name, value in optional.items() if value is not None},
        }


def batches(events: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Cuts events into batches for one call each; an event beyond the limit is a batch alone."""
    for run in runs([event.entry() for event in events]):
        yield events[run.start : run.stop]


def send_batch(
    client: "SQSClient", url: str, batch: Sequence[Outgoing], pause: Event | None = None
) -> BatchResult:
    """Sends one batch, and repeats the entries that failed for SQS's reasons.

    Args:
        client: SQS.
        url: the queue's URL.
        batch: at most what one call takes.
        pause: waits between tries; a new event if left out.

    Raises:
        AwsError: if the queue is missing, forbidden or does not answer.
    """
    entries = [event.entry() for event in batch]
    result = batch_call(client.send_message_batch, url, entries, stop=pause or Event(), tries=TRIES)
    if result.error is not None and not result.done:
        raise result.error
    return result
