"""The event queue: receive, delete and make visible again, with every batch answer read entry by entry."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import Transient
from processor.aws.sqs import SQS_MAX_BATCH, BatchResult, Entry, batch_call
from processor.backoff import full_delay_seconds, jittered
from processor.observability.metrics import Metric
from processor.transitions.context import PipelineContext
from processor.transitions.messages import Message

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


class EventQueue:
    """The calls on the event queue that receivers make; safe for many threads.

    Args:
        aws: makes the clients: one whose read timeout outlasts a long poll, and one for the short calls,
            receives that do not wait among them.
        url: the queue's URL.
        context: the pipeline's.
    """

    def __init__(self, aws: Aws, url: str, context: PipelineContext) -> None:
        self._aws = aws
        self._url = url
        self._context = context

    def receive(self, wait_seconds: int, attempt: str) -> list[Message]:
        """Receives up to ten messages.

        Args:
            wait_seconds: how long SQS waits for the first one.
            attempt: on a FIFO queue, SQS gives the same messages again to a receive with the same id. So an
                answer that was lost does not hold its message groups until the visibility timeout ends
                ("ReceiveMessage", Amazon SQS API Reference).

        Raises:
            AwsError: if SQS does not answer with messages or none.
        """
        client = self._aws.receiving() if wait_seconds else self._aws.settling()
        repeatable: Any = {"ReceiveRequestAttemptId": attempt} if self._url.endswith(".fifo") else {}
        answer = call(
            client.receive_message,
            QueueUrl=self._url,
            MaxNumberOfMessages=SQS_MAX_BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=_SYSTEM_ATTRIBUTES,
            **repeatable,
        )
        try:
            return [Message.from_sqs(message) for message in answer.get("Messages", [])]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Transient("ReceiveMessage", "UnreadableAnswer") from None

    def delete(self, messages: Sequence[Message], deadline: float = math.inf) -> BatchResult:
        """Deletes messages, tries again what failed for SQS's reasons.

        Args:
            messages: any number.
            deadline: on `time.monotonic()`; no call begins after it.

        Returns:
            What is deleted, by position. The others come back and count as duplicates.
        """
        count = partial(self._context.metrics.count, Metric.DELETES_RETRIED)
        entries = [{"ReceiptHandle": message.receipt_handle} for message in messages]
        return self._batch_call(self._aws.settling().delete_message_batch, entries, deadline, on_retry=count)

    def make_visible(
        self, messages: Sequence[tuple[Message, int]], deadline: float = math.inf
    ) -> BatchResult:
        """Lets each message be received again after its number of seconds.

        Args:
            messages: any number, with their seconds.
            deadline: as in `delete`.

        Returns:
            What is done, by position. The others stay invisible until their visibility timeout ends.
        """
        entries = [
            {"ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}
            for message, seconds in messages
        ]
        return self._batch_call(self._aws.settling().change_message_visibility_batch, entries, deadline)

    def _batch_call(
        self, method: Callable[..., Any], entries: Sequence[Entry], deadline: float, **more: Any
    ) -> BatchResult:
        context = self._context
        return batch_call(
            method,
            self._url,
            entries,
            stop=context.abandon,
            deadline=deadline,
            monotonic=context.clocks.monotonic,
            back_off=context.queue_back_off,
            **more,
        )
