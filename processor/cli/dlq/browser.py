"""Reads a dead-letter queue once, and leaves each letter there unless it is deleted.

SQS has no call to look at messages without receiving them. The browser receives each letter, which hides it
from others for a while, and makes it visible again at the end. Only its receive count grows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any, Self

from processor.aws.sqs import SQS_MAX_BATCH, BatchResult, batch_call
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.errors import complain
from processor.cli.output import progress
from processor.cli.session import retry
from processor.transitions.messages import Message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

WAIT_SECONDS = 1  # a long poll asks all of SQS's servers, so an empty answer means an empty queue
MIN_HIDDEN_SECONDS = 30
MAX_HIDDEN_SECONDS = 900
HIDDEN_SECONDS_PER_MESSAGE = 0.02  # a page of ten takes about 0.1 s from receive to delete
MAX_PAGES_OF_REPEATS = 3
_NOT_HIDDEN = "MessageNotInflight"


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
        seen: the ids of the letters received so far.
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
        self.seen: set[str] = set()
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer: Any = retry(client.get_queue_attributes, QueueUrl=url, AttributeNames=names)
        self.expected, self.hidden = (int(answer["Attributes"][name]) for name in names)
        to_see = self.expected if limit is None else min(limit, self.expected)
        self._hidden_seconds = min(
            MAX_HIDDEN_SECONDS, min_hidden_seconds + int(to_see * HIDDEN_SECONDS_PER_MESSAGE)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        held = self._held.values()
        result = self._settle(self._client.change_message_visibility_batch, held, VisibilityTimeout=0)
        codes = [code for code in result.refused.values() if not code.endswith(_NOT_HIDDEN)]
        if count := len(codes) + len(result.left):
            reason = result.error or ", ".join(sorted(set(codes))) or "no answer"
            letters = "1 message stays" if count == 1 else f"{count} messages stay"
            complain(
                f"{letters} hidden for up to {self._hidden_seconds} s: SQS does not give back ({reason})"
            )

    def visit(self, label: str | None, take: Callable[[list[DeadLetter], datetime], object]) -> None:
        """Gives each page of letters to `take`, with the time, and shows the progress.

        Args:
            label: what the command does; None shows no progress.
            take: called with each letter once.

        Raises:
            AwsError: if the queue cannot be read.
        """
        with progress(label, self.expected) as advance:
            for page in self.pages():
                take(page, datetime.now(UTC))
                advance(len(self.seen))

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
            new = [letter for letter in received if letter.message.message_id not in self.seen]
            self.seen |= {letter.message.message_id for letter in new}
            pages_of_repeats = 0 if new else pages_of_repeats + 1
            if new:
                yield new

    def delete(self, letters: Iterable[DeadLetter]) -> int:
        """Deletes letters.

        Returns:
            How many letters may still be there.
        """
        messages = [self._held[letter.message.message_id] for letter in letters]
        undone = self._settle(self._client.delete_message_batch, messages).not_taken
        for index, message in enumerate(messages):
            if index not in undone:
                del self._held[message.message_id]
        return len(undone)

    def _settle(self, method: Callable[..., Any], messages: Iterable[Message], **more: Any) -> BatchResult:
        entries: list[Mapping[str, Any]] = [
            {"ReceiptHandle": each.receipt_handle, **more} for each in messages
        ]
        return batch_call(method, self._url, entries, stop=Event())

    def _room(self) -> int:
        return SQS_MAX_BATCH if self._limit is None else min(SQS_MAX_BATCH, self._limit - len(self.seen))

    def _receive(self, most: int) -> list[DeadLetter]:
        names = ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId", "AWSTraceHeader"]
        answer: Any = retry(
            self._client.receive_message,
            QueueUrl=self._url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=self._hidden_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=names,
        )
        letters = {raw["MessageId"]: DeadLetter.from_sqs(raw) for raw in answer.get("Messages", [])}
        # A letter received again has a new receipt handle; only that one is valid.
        self._held |= {message_id: letter.message for message_id, letter in letters.items()}
        return list(letters.values())
