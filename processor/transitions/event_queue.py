"""The event queue: receive, delete and make visible again, with every batch answer read entry by entry."""

import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from processor.aws.calls import call
from processor.aws.errors import AwsError, Misconfigured, Transient
from processor.aws.sqs import done_and_refused
from processor.observability.metrics import Metric, Metrics
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
        settling: a client for the short calls, receives that do not wait among them.
        url: the queue's URL.
        abandon: set when nothing may wait any more; tries end early then.
        metrics: counts deletes that were tried again.
        monotonic: for deadlines.
    """

    def __init__(
        self,
        *,
        receiving: "SQSClient",
        settling: "SQSClient",
        url: str,
        abandon: threading.Event,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._receiving = receiving
        self._settling = settling
        self._url = url
        self._abandon = abandon
        self._metrics = metrics
        self._monotonic = monotonic

    def receive(self, wait_seconds: int) -> list[Message]:
        """Receives up to ten messages.

        Raises:
            AwsError: if SQS does not answer with messages or none.
        """
        client = self._receiving if wait_seconds else self._settling
        answer = call(
            client.receive_message,
            QueueUrl=self._url,
            MaxNumberOfMessages=SQS_MAX_BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
        )
        try:
            return [Message.from_sqs(message) for message in answer.get("Messages", [])]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise Transient("ReceiveMessage", "UnreadableAnswer") from None

    def delete(self, messages: Sequence[Message], until: float = math.inf) -> list[Message]:
        """Deletes messages, tries again what failed for SQS's reasons.

        Args:
            messages: any number.
            until: on `time.monotonic()`; no call begins after it.

        Returns:
            The messages that may still be there; they come back and count as duplicates.
        """

        def entry(index: int, message: Message) -> dict[str, Any]:
            return {"Id": str(index), "ReceiptHandle": message.receipt_handle}

        method = self._settling.delete_message_batch
        undone, _ = self._batches(method, messages, entry, until, Metric.DELETES_RETRIED)
        return undone

    def make_visible(
        self, messages: Sequence[tuple[Message, int]], until: float = math.inf
    ) -> tuple[list[Message], bool]:
        """Gives messages back to the queue, each to be received again after so many seconds.

        Args:
            messages: any number, with their seconds.
            until: as in `delete`.

        Returns:
            The messages that come back only after their visibility timeout; and whether SQS answered the
            last call, be it with a refusal.
        """

        def entry(index: int, pair: tuple[Message, int]) -> dict[str, Any]:
            message, seconds = pair
            return {"Id": str(index), "ReceiptHandle": message.receipt_handle, "VisibilityTimeout": seconds}

        method = self._settling.change_message_visibility_batch
        undone, answered = self._batches(method, messages, entry, until, None)
        return [message for message, _ in undone], answered

    def _batches(
        self,
        method: Callable[..., Any],
        things: Sequence[T],
        entry: Callable[[int, T], dict[str, Any]],
        until: float,
        retried: Metric | None,
    ) -> tuple[list[T], bool]:
        undone: list[T] = []
        answered = True
        for chunk in chunks(things, SQS_MAX_BATCH):
            if not answered and self._abandon.is_set():
                undone += chunk
                continue
            tries = _TRIES if answered else 1  # a silent SQS costs a time-out for each call
            left, answered = self._batch(method, chunk, entry, until=until, tries=tries, retried=retried)
            undone += left
        return undone, answered

    def _batch(
        self,
        method: Callable[..., Any],
        chunk: Sequence[T],
        entry: Callable[[int, T], dict[str, Any]],
        *,
        until: float,
        tries: int,
        retried: Metric | None,
    ) -> tuple[list[T], bool]:
        """What of the chunk is not done, and whether SQS answered the last call."""
        left = dict(enumerate(chunk))
        undone: list[T] = []
        answered = False
        for attempt in range(tries):
            if attempt:
                if self._abandon.wait(_TRY_AGAIN_SECONDS * 4 ** (attempt - 1) * random.uniform(0.5, 1)):
                    break
                if retried:
                    self._metrics.count(retried, len(left))
            if self._monotonic() >= until:
                break
            entries = [entry(index, thing) for index, thing in left.items()]
            answered = False
            try:
                answer = call(method, QueueUrl=self._url, Entries=entries)
                done, refused = done_and_refused("Batch", answer)
            except Misconfigured:
                answered = True
                break
            except AwsError:
                continue
            answered = True
            undone += [left[index] for index in refused if index in left]
            left = {index: thing for index, thing in left.items() if index not in done | refused}
            if not left:
                break
        return undone + list(left.values()), answered


def chunks(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The things in runs of at most so many."""
    for start in range(0, len(things), size):
        yield things[start : start + size]
