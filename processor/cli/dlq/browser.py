"""Reads a dead-letter queue once, and leaves each letter there unless it is deleted.

SQS has no call to look at messages without receiving them. The browser receives each letter, which hides it
from others for a while, and makes it visible again at the end. Only its receive count grows.
"""

from collections.abc import Iterable, Iterator
from threading import Event
from typing import TYPE_CHECKING, Any, Self

from processor.aws.sqs import SQS_MAX_BATCH, batch_call
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.session import retry
from processor.transitions.messages import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

WAIT_SECONDS = 1  # a long poll asks all of SQS's servers, so an empty answer means an empty queue
MIN_HIDDEN_SECONDS = 30
MAX_HIDDEN_SECONDS = 900
HIDDEN_SECONDS_PER_MESSAGE = 0.02  # a page of ten takes about 0.1 s from receive to delete
MAX_PAGES_OF_REPEATS = 3


class Browser:
    """One pass over the queue; a context manager that makes the letters it still holds visible at its end.

    Args:
        client: SQS.
        url: the dead-letter queue's URL.
        limit: how many letters to receive at most; None: all.
        min_hidden_seconds: the least visibility timeout of a received letter.

    Attributes:
        expected: about how many letters were visible at the beginning.
        hidden: about how many letters other receivers held at the beginning.
    """

    def __init__(
        self,
        client: "SQSClient",
        url: str,
        *,
        limit: int | None = None,
        min_hidden_seconds: int = MIN_HIDDEN_SECONDS,
    ) -> None:
        self._client = client
        self._url = url
        self._limit = limit
        self._held: dict[str, Message] = {}
        self._seen: set[str] = set()
        answer = retry(
            client.get_queue_attributes,
            QueueUrl=url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )
        self.expected = int(answer["Attributes"]["ApproximateNumberOfMessages"])
        self.hidden = int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])
        to_see = self.expected if limit is None else min(limit, self.expected)
        self._hidden_seconds = min(
            MAX_HIDDEN_SECONDS, min_hidden_seconds + int(to_see * HIDDEN_SECONDS_PER_MESSAGE)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A letter for which this fails becomes visible when its visibility timeout ends.
        visible = [
            {"ReceiptHandle": each.receipt_handle, "VisibilityTimeout": 0} for each in self._held.values()
        ]
        batch_call(self._client.change_message_visibility_batch, self._url, visible, stop=Event())

    @property
    def seen(self) -> int:
        """How many different letters were received so far."""
        return len(self._seen)

    def pages(self) -> Iterator[list[DeadLetter]]:
        """Yields pages of letters, each letter once, until the queue returns no new one.

        Raises:
            AwsError: if the queue cannot be read.
        """
        pages_of_repeats = 0
        while (room := self._room()) and pages_of_repeats < MAX_PAGES_OF_REPEATS:
            received = self._receive(room)
            if not received:
                return
            new = [letter for letter in received if letter.message.message_id not in self._seen]
            self._seen |= {letter.message.message_id for letter in new}
            pages_of_repeats = 0 if new else pages_of_repeats + 1
            if new:
                yield new

    def delete(self, letters: Iterable[DeadLetter]) -> set[str]:
        """Deletes letters.

        Returns:
            The message ids of letters that may still be there.
        """
        messages = [self._held[letter.message.message_id] for letter in letters]
        entries = [{"ReceiptHandle": message.receipt_handle} for message in messages]
        result = batch_call(self._client.delete_message_batch, self._url, entries, stop=Event())
        undone = {messages[index].message_id for index in result.not_taken}
        for message in messages:
            if message.message_id not in undone:
                del self._held[message.message_id]
        return undone

    def _room(self) -> int:
        return SQS_MAX_BATCH if self._limit is None else min(SQS_MAX_BATCH, self._limit - len(self._seen))

    def _receive(self, most: int) -> list[DeadLetter]:
        answer: Any = retry(
            self._client.receive_message,
            QueueUrl=self._url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=self._hidden_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=[
                "ApproximateReceiveCount",
                "SentTimestamp",
                "MessageGroupId",
                "AWSTraceHeader",
            ],
        )
        letters = {raw["MessageId"]: DeadLetter.from_sqs(raw) for raw in answer.get("Messages", [])}
        # A letter received again has a new receipt handle; only that one is valid.
        self._held |= {message_id: letter.message for message_id, letter in letters.items()}
        return list(letters.values())
