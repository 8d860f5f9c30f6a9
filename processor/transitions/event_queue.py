"""The event queue: receive, delete and make visible again, with every batch answer read entry by entry."""

import math
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from processor.aws.calls import call
from processor.aws.errors import AwsError, Transient
from processor.aws.sqs import SQS_MAX_BATCH, BatchResult, batch_call
from processor.backoff import BackOff, full_delay_seconds, jittered
from processor.observability.metrics import Metric, Metrics
from processor.transitions.messages import Message
from processor.transitions.timing import Clocks, Timing

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

_BACK_OFF_FIRST_SECONDS = 2
_BACK_OFF_MAX_SECONDS = 60
_SYSTEM_ATTRIBUTES: Sequence[Any] = (
    *("ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"),
    *("AWSTraceHeader", "SenderId"),
)


def back_off_seconds(receive_count: int, jitter: Callable[[float], float] = jittered) -> int:
    """How long a message that stays is invisible: 2 s doubling per receive, at most 60 s, and jitter
    (docs/contract.md, section 3)."""
    whole = full_delay_seconds(
        receive_count, first_seconds=_BACK_OFF_FIRST_SECONDS, most_seconds=_BACK_OFF_MAX_SECONDS
    )
    return max(1, round(jitter(whole)))


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Which messages stay invisible until their visibility timeout ends, and whether SQS answered the last
    call, also with a refusal."""

    undone: Sequence[Message]
    answered: bool


class ReceiveAttempt:
    """The ReceiveRequestAttemptId of one receiver's next receive on a FIFO queue.

    SQS gives the same messages again to a receive with the same id. So an answer that was lost does not hold
    its message groups until the visibility timeout ends ("ReceiveMessage", Amazon SQS API Reference).
    """

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())

    def failed(self, error: AwsError) -> None:
        """Keeps the id after an error that may have lost an answer."""
        if not isinstance(error, Transient) or error.throttled:
            self.answered()

    def answered(self) -> None:
        """Takes a new id."""
        self.id = str(uuid.uuid4())


class EventQueue:
    """The calls on the event queue that receivers make; safe for many threads.

    Args:
        receiving: a client whose read timeout outlasts a long poll.
        settling: a client for the short calls, receives that do not wait among them.
        url: the queue's URL.
        abandon: set when nothing may wait any more; tries end early then.
        metrics: counts deletes that were tried again.
        clocks: for deadlines and jitter.
        timing: how long it waits before it tries again.
    """

    def __init__(
        self,
        *,
        receiving: "SQSClient",
        settling: "SQSClient",
        url: str,
        abandon: threading.Event,
        metrics: Metrics,
        clocks: Clocks,
        timing: Timing,
    ) -> None:
        self._receiving = receiving
        self._settling = settling
        self._url = url
        self._fifo = url.endswith(".fifo")
        self._abandon = abandon
        self._metrics = metrics
        self._clocks = clocks
        self._retry_seconds = timing.queue_retry_seconds

    def receive(self, wait_seconds: int, attempt: ReceiveAttempt | None = None) -> list[Message]:
        """Receives up to ten messages.

        Args:
            wait_seconds: how long SQS waits for the first one.
            attempt: the receiver's; without one a lost answer is not asked for again.

        Raises:
            AwsError: if SQS does not answer with messages or none.
        """
        client = self._receiving if wait_seconds else self._settling
        repeatable: Any = {"ReceiveRequestAttemptId": attempt.id} if attempt and self._fifo else {}
        try:
            answer = call(
                client.receive_message,
                QueueUrl=self._url,
                MaxNumberOfMessages=SQS_MAX_BATCH,
                WaitTimeSeconds=wait_seconds,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=_SYSTEM_ATTRIBUTES,
                **repeatable,
            )
        except AwsError as error:
            if attempt:
                attempt.failed(error)
            raise
        if attempt:
            attempt.answered()
        try:
            return [Message.from_sqs(message) for message in answer.get("Messages", [])]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Transient("ReceiveMessage", "UnreadableAnswer") from None

    def delete(self, messages: Sequence[Message], deadline: float = math.inf) -> list[Message]:
        """Deletes messages, tries again what failed for SQS's reasons.

        Args:
            messages: any number.
            deadline: on `time.monotonic()`; no call begins after it.

        Returns:
            The messages that may still be there; they come back and count as duplicates.
        """

        entries = [{"ReceiptHandle": message.receipt_handle} for message in messages]
        result = self._batch_call(
            self._settling.delete_message_batch,
            entries,
            deadline,
            lambda entries: self._metrics.count(Metric.DELETES_RETRIED, entries),
        )
        return [messages[index] for index in result.not_taken]

    def make_visible(self, messages: Sequence[tuple[Message, int]], deadline: float = math.inf) -> GivenBack:
        """Lets each message be received again after its number of seconds.

        Args:
            messages: any number, with their seconds.
            deadline: as in `delete`.
        """
        entries = [
            {"ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
            for message, seconds in messages
        ]
        result = self._batch_call(
            self._settling.change_message_visibility_batch, entries, deadline, lambda _entries: None
        )
        return GivenBack([messages[index][0] for index in result.not_taken], result.answered)

    def _batch_call(
        self,
        method: Callable[..., Any],
        entries: Sequence[Mapping[str, Any]],
        deadline: float,
        on_retry: Callable[[int], None],
    ) -> BatchResult:
        return batch_call(
            method,
            self._url,
            entries,
            stop=self._abandon,
            deadline=deadline,
            on_retry=on_retry,
            monotonic=self._clocks.monotonic,
            back_off=lambda: BackOff(self._retry_seconds, factor=4, jitter=self._clocks.jitter),
        )
