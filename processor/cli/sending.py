"""Sends events to the event queue in batches, each answer read entry by entry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from processor.aws.errors import Rejected
from processor.cli.session import TRIES, patiently, pause
from processor.dead_letters import SQS_MAX_BATCH, SQS_MAX_BATCH_BYTES

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event to send; on a FIFO queue with its group and deduplication id."""

    body: str
    group_id: str | None = None
    deduplication_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What the queue said, by position in the batch. Who is in neither was not taken this time.

    `taken` holds the new message ids, `refused` SQS's code for what it will never take.
    """

    taken: Mapping[int, str]
    refused: Mapping[int, str]


def batches(events: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Cuts events into runs that one call takes; an event beyond the limit goes alone."""
    start = size = 0
    for index, event in enumerate(events):
        length = len(event.body.encode())
        if index > start and (index - start == SQS_MAX_BATCH or size + length > SQS_MAX_BATCH_BYTES):
            yield events[start:index]
            start, size = index, 0
        size += length
    if start < len(events):
        yield events[start:]


def send_batch(client: "SQSClient", url: str, batch: Sequence[Outgoing]) -> Answers:
    """Sends one batch, and again the entries that SQS did not take for its own reasons.

    Raises:
        AwsError: if the queue takes nothing: it is missing, forbidden or does not answer.
    """
    entries = {index: _entry(index, event) for index, event in enumerate(batch)}
    taken: dict[int, str] = {}
    refused: dict[int, str] = {}
    for attempt in range(TRIES):
        if attempt:
            pause(attempt - 1)
        left = [index for index in entries if index not in taken and index not in refused]
        try:
            answer: Any = patiently(
                client.send_message_batch, QueueUrl=url, Entries=[entries[index] for index in left]
            )
        except Rejected as rejected:
            if len(batch) == 1:
                return Answers({}, {0: rejected.code})
            for index in left:  # one of them is at fault: each on its own shows which
                alone = send_batch(client, url, [batch[index]])
                if alone.taken:
                    taken[index] = alone.taken[0]
                if alone.refused:
                    refused[index] = alone.refused[0]
            break
        taken |= {int(each["Id"]): each["MessageId"] for each in answer.get("Successful", [])}
        failed = answer.get("Failed", [])
        refused |= {int(each["Id"]): str(each.get("Code")) for each in failed if each.get("SenderFault")}
        if len(taken) + len(refused) == len(entries):
            break
    return Answers(taken, refused)


def _entry(index: int, event: Outgoing) -> dict[str, str]:
    fifo = {"MessageGroupId": event.group_id, "MessageDeduplicationId": event.deduplication_id}
    entry = {"Id": str(index), "MessageBody": event.body}
    return entry | {name: value for name, value in fifo.items() if value is not None}
