"""The dead-letter queue: copies of what cannot be used, each with its reason (contract section 3)."""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handlers.timestamps import format_timestamp
from processor.aws.calls import call
from processor.aws.errors import AwsError, Misconfigured, Rejected
from processor.aws.sqs import done_and_refused

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

SQS_MAX_BATCH = 10  # entries of a batch call ("Amazon SQS message quotas")
SQS_MAX_BATCH_BYTES = 256 * 1_024  # what every queue takes in one call, whatever its own limit
MAX_REASON_CHARS = 256
_TRIES = 3
_TRY_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A copy for the dead-letter queue.

    `reason` names the field and the rule, never the value. `group_id` is the original's, on FIFO queues.
    """

    body: str
    outcome: str
    reason: str
    source_message_id: str
    receive_count: int
    group_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the copies, by position: `taken` are durable, `refused` can never be taken (their
    size), all others were not taken this time."""

    taken: frozenset[int]
    refused: frozenset[int]


class DeadLetterQueue:
    """Sends copies to the dead-letter queue; safe for many threads.

    Args:
        client: SQS.
        url: the dead-letter queue's URL; a FIFO queue's ends in `.fifo`.
        clock: our clock, for `rejectedAt`.
        abandon: set when nothing may wait any more; tries end early then.
        monotonic: for deadlines.
    """

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        clock: Callable[[], datetime],
        abandon: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._abandon = abandon
        self._monotonic = monotonic
        self._fifo = url.endswith(".fifo")

    def send(self, letters: Sequence[DeadLetter], until: float = math.inf) -> Sent:
        """Sends copies in batches, tries again what failed for SQS's reasons, and never raises for AWS.

        Args:
            letters: any number.
            until: on `time.monotonic()`; no call begins after it.
        """
        taken: set[int] = set()
        refused: set[int] = set()
        answered = True
        for chunk in self._split(letters):
            if not answered and self._abandon.is_set():
                break
            tries = _TRIES if answered else 1  # a silent SQS costs a time-out for each call
            answered = self._send_chunk(chunk, taken, refused, until, tries)
        return Sent(frozenset(taken), frozenset(refused))

    def _split(self, letters: Sequence[DeadLetter]) -> Iterator[dict[int, dict[str, Any]]]:
        chunk: dict[int, dict[str, Any]] = {}
        size = 0
        for index, letter in enumerate(letters):
            entry = self._entry(index, letter)
            entry_size = _payload_bytes(entry)
            if chunk and (len(chunk) == SQS_MAX_BATCH or size + entry_size > SQS_MAX_BATCH_BYTES):
                yield chunk
                chunk, size = {}, 0
            chunk[index] = entry
            size += entry_size
        if chunk:
            yield chunk

    def _send_chunk(
        self, chunk: dict[int, dict[str, Any]], taken: set[int], refused: set[int], until: float, tries: int
    ) -> bool:
        """Whether the queue answered the last call."""
        left = dict(chunk)
        answered = False
        for attempt in range(tries):
            if attempt and self._abandon.wait(
                _TRY_AGAIN_SECONDS * 4 ** (attempt - 1) * random.uniform(0.5, 1)
            ):
                break
            if self._monotonic() >= until:
                break
            answered = False
            try:
                answer = call(
                    self._client.send_message_batch, QueueUrl=self._url, Entries=list(left.values())
                )
                done, useless = done_and_refused("SendMessageBatch", answer)
            except Rejected:
                if len(left) == 1:
                    refused.update(left)
                    return True
                # One of them is at fault: each on its own shows which.
                return all(
                    self._send_chunk({index: entry}, taken, refused, until, tries)
                    for index, entry in left.items()
                )
            except Misconfigured:
                break
            except AwsError:
                continue
            answered = True
            taken.update(done & left.keys())
            refused.update(useless & left.keys())
            left = {index: entry for index, entry in left.items() if index not in taken | refused}
            if not left:
                break
        return answered

    def _entry(self, index: int, letter: DeadLetter) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "Id": str(index),
            "MessageBody": letter.body,
            "MessageAttributes": {
                "rejectionOutcome": _text(letter.outcome),
                "rejectionReason": _text(printable(letter.reason)),
                "sourceMessageId": _text(letter.source_message_id),
                "receiveCount": {"DataType": "Number", "StringValue": str(letter.receive_count)},
                "rejectedAt": _text(format_timestamp(self._clock())),
            },
        }
        if self._fifo:
            entry["MessageGroupId"] = letter.group_id or letter.source_message_id
            entry["MessageDeduplicationId"] = letter.source_message_id
        return entry


def printable(reason: str) -> str:
    """A reason as a message attribute can hold it: printable ASCII, at most 256 characters, not empty."""
    ascii_only = "".join(character if " " <= character <= "~" else "?" for character in reason)
    return ascii_only[:MAX_REASON_CHARS] or "no reason was given"


def _text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


def _payload_bytes(entry: dict[str, Any]) -> int:
    attributes = sum(
        len(name) + len(value["DataType"]) + len(value["StringValue"].encode())
        for name, value in entry["MessageAttributes"].items()
    )
    return len(entry["MessageBody"].encode()) + attributes
