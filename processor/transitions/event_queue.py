"""The event queue: receive, delete and make visible again, with every batch answer read entry by entry."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from processor.aws import AwsError, Misconfigured, call
from processor.metrics import Metric, Metrics
from processor.transitions.messages import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

SQS_MAX_BATCH = 10  # entries of a batch call ("Amazon SQS message quotas")
BACK_OFF_FIRST_SECONDS = 2
BACK_OFF_MAX_SECONDS = 60
_TRIES = 3
_TRY_AGAIN_SECONDS = 0.2

T = TypeVar("T")


def back_off_seconds(receive_count: int) -> int:
    """How long a message that was left stays invisible: 2 s doubling per receive, at most 60 s, the last
    half of it at random (contract section 3)."""
    whole = min(BACK_OFF_MAX_SECONDS, BACK_OFF_FIRST_SECONDS * 2 ** min(receive_count - 1, 10))
    return max(1, round(random.uniform(whole / 2, whole)))


class EventQueue:
    """The calls on the event queue that receivers make; safe for many threads.

    Args:
        receiving: a client whose read timeout outlasts a long poll.
        settling: a client for the short calls.
        url: the queue's URL.
        abandon: set when nothing may wait any more; tries end early then.
        metrics: counts deletes that were tried again.
    """

    def __init__(
        self,
        *,
        receiving: "SQSClient",
        settling: "SQSClient",
        url: str,
        abandon: threading.Event,
        metrics: Metrics,
    ) -> None:
        self._receiving = receiving
        self._settling = settling
        self._url = url
        self._abandon = abandon
        self._metrics = metrics

    def receive(self, wait_seconds: int) -> list[Message]:
        """Receives up to ten messages.

        Raises:
            AwsError: if SQS does not answer with messages or none.
        """
        answer = call(
            self._receiving.receive_message,
            QueueUrl=self._url,
            MaxNumberOfMessages=SQS_MAX_BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
        )
        return [Message.from_sqs(message) for message in answer.get("Messages", [])]

    def delete(self, messages: Sequence[Message]) -> list[Message]:
        """Deletes messages, tries again what failed for SQS's reasons.

        Returns:
            The messages that may still be there; they come back and count as duplicates.
        """

        def entry(index: int, message: Message) -> dict[str, Any]:
            return {"Id": str(index), "ReceiptHandle": message.receipt_handle}

        return self._batches(self._settling.delete_message_batch, messages, entry, Metric.DELETES_RETRIED)

    def make_visible(self, messages: Sequence[tuple[Message, int]]) -> list[Message]:
        """Gives messages back to the queue, each to be received again after so many seconds.

        Returns:
            The messages that come back only after their visibility timeout.
        """

        def entry(index: int, pair: tuple[Message, int]) -> dict[str, Any]:
            message, seconds = pair
            return {"Id": str(index), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}

        undone = self._batches(self._settling.change_message_visibility_batch, messages, entry, None)
        return [message for message, _ in undone]

    def _batches(
        self,
        method: Callable[..., Any],
        things: Sequence[T],
        entry: Callable[[int, T], dict[str, Any]],
        retried: Metric | None,
    ) -> list[T]:
        undone: list[T] = []
        for chunk in chunks(things, SQS_MAX_BATCH):
            undone += self._batch(method, chunk, entry, retried)
        return undone

    def _batch(
        self,
        method: Callable[..., Any],
        chunk: Sequence[T],
        entry: Callable[[int, T], dict[str, Any]],
        retried: Metric | None,
    ) -> list[T]:
        left = dict(enumerate(chunk))
        undone: list[T] = []
        for attempt in range(_TRIES):
            if attempt:
                if self._abandon.wait(_TRY_AGAIN_SECONDS * 4 ** (attempt - 1) * random.uniform(0.5, 1)):
                    break
                if retried:
                    self._metrics.count(retried, len(left))
            entries = [entry(index, thing) for index, thing in left.items()]
            try:
                answer = call(method, QueueUrl=self._url, Entries=entries)
            except Misconfigured:
                break
            except AwsError:
                continue
            done = {int(success["Id"]) for success in answer.get("Successful", [])}
            refused = {
                int(failure["Id"]) for failure in answer.get("Failed", []) if failure.get("SenderFault")
            }
            undone += [left[index] for index in refused if index in left]
            left = {index: thing for index, thing in left.items() if index not in done | refused}
            if not left:
                break
        return undone + list(left.values())


def chunks(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The things in runs of at most so many."""
    for start in range(0, len(things), size):
        yield things[start : start + size]
