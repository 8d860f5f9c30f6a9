"""The dead-letter queue: copies of rejected messages, with the reason (docs/contract.md, section 3)."""

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handlers.timestamps import format_timestamp
from processor.aws.message_attributes import Attributes, attributes_from_json, attributes_to_json
from processor.aws.sqs import BatchResult, batch_call
from processor.backoff import BackOff, short_back_off

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

MAX_REASON_CHARS = 256
_SOURCE_ATTRIBUTES = "sourceAttributes"
_OWN_ATTRIBUTES = frozenset(
    {
        *("rejectionOutcome", "rejectionReason", "sourceMessageId"),
        *("receiveCount", "rejectedAt", _SOURCE_ATTRIBUTES),
    }
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A copy for the dead-letter queue.

    Attributes:
        body: the original's.
        outcome: why it is rejected, in one word.
        reason: one sentence that names the field and the rule, never the value.
        source_message_id: the original's message id.
        receive_count: how often the original was received.
        group_id: the original's MessageGroupId, if any.
        attributes: the message attributes that its producer set.
        trace_header: the original's AWSTraceHeader, if any.
    """

    body: str
    outcome: str
    reason: str
    source_message_id: str
    receive_count: int
    group_id: str | None = None
    attributes: Attributes = field(default_factory=dict, hash=False)
    trace_header: str | None = None


class DeadLetterQueue:
    """Sends copies to the dead-letter queue; safe for many threads.

    Args:
        client: SQS.
        url: the dead-letter queue's URL; a FIFO queue's ends in `.fifo`.
        clock: our clock, for `rejectedAt`.
        abandon: set when nothing may wait any more; tries end early then.
        monotonic: for deadlines.
        back_off: makes the back-off of one call.
    """

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        clock: Callable[[], datetime],
        abandon: threading.Event,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        back_off: Callable[[], BackOff] = short_back_off,
    ) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._abandon = abandon
        self._monotonic = monotonic
        self._back_off = back_off
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
            back_off=self._back_off,
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
        if letter.attributes:
            as_json = json.dumps(
                attributes_to_json(letter.attributes), ensure_ascii=False, separators=(",", ":")
            )
            entry["MessageAttributes"][_SOURCE_ATTRIBUTES] = _text(as_json)
        if letter.trace_header:
            entry["MessageSystemAttributes"] = {"AWSTraceHeader": _text(letter.trace_header)}
        if letter.group_id or self._fifo:
            entry["MessageGroupId"] = letter.group_id or letter.source_message_id
        if self._fifo:
            entry["MessageDeduplicationId"] = letter.source_message_id
        return entry


def producer_attributes(attributes: Attributes) -> Attributes:
    """The message attributes that a message's producer set.

    SQS's own redrive brings a dead letter back with the attributes of this service. The producer's are read
    out of them, so that a second rejection does not nest them.

    Args:
        attributes: as received.
    """
    if "rejectionOutcome" not in attributes:
        return attributes
    others = {name: value for name, value in attributes.items() if name not in _OWN_ATTRIBUTES}
    try:
        noted = attributes_from_json(json.loads(attributes[_SOURCE_ATTRIBUTES]["StringValue"]))
    except (LookupError, TypeError, ValueError, RecursionError):
        return others
    return {**others, **noted}


def printable(reason: str) -> str:
    """A reason as a message attribute can hold it: printable ASCII, at most 256 characters, not empty."""
    ascii_only = "".join(character if " " <= character <= "~" else "?" for character in reason)
    return ascii_only[:MAX_REASON_CHARS] or "no reason was given"


def _text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}
