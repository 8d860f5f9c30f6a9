"""The dead-letter queue: copies of rejected messages, with the reason (docs/contract.md, section 3)."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handlers.timestamps import format_timestamp
from processor.aws.sqs import BatchResult, batch_call

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

MAX_REASON_CHARS = 256


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

    def send(self, letters: Sequence[DeadLetter], until: float = math.inf) -> BatchResult:
        """Sends copies in batches, repeats what failed for SQS's reasons, and never raises for AWS.

        Args:
            letters: any number.
            until: on `time.monotonic()`; no call begins after it.

        Returns:
            By position: what is taken is durable, what is refused can never be taken (its size).
        """
        return batch_call(
            self._client.send_message_batch,
            self._url,
            [self._entry(letter) for letter in letters],
            stop=self._abandon,
            deadline=until,
            monotonic=self._monotonic,
        )

    def _entry(self, letter: DeadLetter) -> dict[str, Any]:
        entry: dict[str, Any] = {
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
