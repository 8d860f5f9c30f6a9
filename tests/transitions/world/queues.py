"""SQS in memory: an event queue whose arrivals are known in advance, and a dead-letter queue.

Below a thousand waiting messages a receive gives fewer than asked, at random, and a short poll misses some,
as the real service does ("Amazon SQS short and long polling"). A long poll answers at once and says by the
clock how long it took.
"""

import bisect
import heapq
import itertools
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.transitions.world.clock import EPOCH, SimulatedClock
from tests.transitions.world.faults import Faults

EVENTS_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/events"
DEAD_LETTERS_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/events-dlq"
FULL_PAGES_FROM = 1_000
"""With so many messages waiting SQS gives as many as it is asked for."""

_SHORT_POLL_MISSES = 0.3


@dataclass(slots=True)
class Stored:
    """A message in the event queue."""

    number: int
    body: str
    sent_at: float
    group_id: str | None
    visible_at: float
    receive_count: int = 0
    handle: str = ""


class SimulatedSqs:
    """The client that the service gets, for both queues.

    Args:
        clock: the world's time.
        faults: decides how each call ends.
        rng: the world's randomness.
        visibility_seconds: the event queue's visibility timeout.
        max_receive_count: of its redrive policy.
        fifo: whether the queues are FIFO.
        on_delete: called with a message's number once it is deleted.
        on_letter: called with each entry that the dead-letter queue has taken.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        faults: Faults,
        rng: random.Random,
        *,
        on_delete: Callable[[int], None],
        on_letter: Callable[[dict[str, Any]], None],
        visibility_seconds: int = 120,
        max_receive_count: int = 60,
        fifo: bool = False,
    ) -> None:
        suffix = ".fifo" if fifo else ""
        self.events_url = EVENTS_URL + suffix
        self.dead_letters_url = DEAD_LETTERS_URL + suffix
        self.visibility_seconds = visibility_seconds
        self.max_receive_count = max_receive_count
        self.redriven: list[Stored] = []
        """What SQS itself moved there, because it was received too often."""
        self.deleted: dict[int, float] = {}
        """When each message was deleted, by its number."""
        self._clock = clock
        self._faults = faults
        self._rng = rng
        self._fifo = fifo
        self._on_delete = on_delete
        self._on_letter = on_letter
        self._numbers = itertools.count()
        self._all: dict[int, Stored] = {}
        self._arrivals: list[float] = []
        # When messages become visible; an entry counts only while its message still has that time.
        self._due: list[tuple[float, int]] = []
        self._groups: defaultdict[str | None, deque[Stored]] = defaultdict(deque)

    def send(self, body: str, at: float, group_id: str | None = None) -> int:
        """A producer's message that arrives at a time (world seconds, also in the future).

        Returns:
            Its number.
        """
        message = Stored(next(self._numbers), body, at, group_id if self._fifo else None, at)
        self._all[message.number] = message
        bisect.insort(self._arrivals, at)
        self._groups[message.group_id].append(message)
        heapq.heappush(self._due, (at, message.number))
        return message.number

    @property
    def left(self) -> int:
        """Messages that are neither deleted nor moved, those to come included."""
        return len(self._all)

    def waiting(self) -> int:
        """About how many messages have arrived and are not gone, those in flight included."""
        arrived = bisect.bisect_right(self._arrivals, self._clock.time)
        return arrived - len(self.deleted) - len(self.redriven)

    def receive_message(self, **request: Any) -> dict[str, Any]:
        """Up to ten messages."""
        return self._faults.around("ReceiveMessage", lambda: self._receive(request))

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        """Deletes by handle; an old handle succeeds and deletes nothing."""
        return self._batch("DeleteMessageBatch", request, self._delete)

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        """Lets messages come back after so many seconds."""
        return self._batch("ChangeMessageVisibilityBatch", request, self._change_visibility)

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        """Takes letters for the dead-letter queue."""
        assert request["QueueUrl"] == self.dead_letters_url
        return self._batch("SendMessageBatch", request, self._on_letter)

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        """The queues' settings."""
        return self._faults.around("GetQueueAttributes", lambda: {"Attributes": self._attributes(request)})

    def _attributes(self, request: Mapping[str, Any]) -> dict[str, str]:
        arn = f"arn:aws:sqs:us-east-1:123456789012:{request['QueueUrl'].rsplit('/', 1)[1]}"
        policy = {"deadLetterTargetArn": f"{arn}-dlq", "maxReceiveCount": self.max_receive_count}
        return {
            "QueueArn": arn,
            "VisibilityTimeout": str(self.visibility_seconds),
            "RedrivePolicy": json.dumps(policy),
        }

    def _batch(
        self, operation: str, request: Mapping[str, Any], act: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        entries = request["Entries"]
        assert 1 <= len(entries) <= 10, "SQS takes one to ten entries"
        assert len({entry["Id"] for entry in entries}) == len(entries), "SQS wants distinct ids"

        def effect() -> dict[str, Any]:
            for entry in entries:
                act(entry)
            return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

        return self._faults.around(operation, effect)

    def _receive(self, request: Mapping[str, Any]) -> dict[str, Any]:
        wait = int(request.get("WaitTimeSeconds", 0))
        most = int(request.get("MaxNumberOfMessages", 1))
        if wait:
            first = self._next_visible_at()
            if first is None or first > self._clock.time + wait:
                self._clock.advance(wait)
                return {}
            self._clock.advance(max(0.0, first - self._clock.time))
        few = self.waiting() < FULL_PAGES_FROM
        if few and not wait and self._rng.random() < _SHORT_POLL_MISSES:
            return {}
        if few:
            most = self._rng.choice((most, most, self._rng.randint(1, most)))
        messages = []
        for message in self._take(most):
            message.receive_count += 1
            message.handle = f"handle-{message.number}-{message.receive_count}"
            attributes = {
                "ApproximateReceiveCount": str(message.receive_count),
                "SentTimestamp": str(int((EPOCH + message.sent_at) * 1_000)),
            }
            if message.group_id is not None:
                attributes["MessageGroupId"] = message.group_id
            messages.append(
                {
                    "MessageId": f"message-{message.number}",
                    "ReceiptHandle": message.handle,
                    "Body": message.body,
                    "Attributes": attributes,
                }
            )
            self._hide(message, self.visibility_seconds)
        return {"Messages": messages} if messages else {}

    def _next_visible_at(self) -> float | None:
        """When the next message can be received; on a FIFO queue not before its group is free."""
        if self._fifo:
            times = [at for at in map(self._group_visible_at, [*self._groups]) if at is not None]
            return min(times, default=None)
        while self._due and not self._is_current(*self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def _is_current(self, at: float, number: int) -> bool:
        message = self._all.get(number)
        return message is not None and message.visible_at == at

    def _group_visible_at(self, group_id: str | None) -> float | None:
        """When a group's first message can be received: on FIFO a message in flight holds its group."""
        messages = self._groups[group_id]
        while messages and messages[0].number not in self._all:
            messages.popleft()
        if not messages:
            del self._groups[group_id]
            return None
        left = (each for each in messages if each.number in self._all)
        in_flight = [each.visible_at for each in left if each.visible_at > each.sent_at]
        return max(messages[0].sent_at, *in_flight) if in_flight else messages[0].sent_at

    def _take(self, most: int) -> list[Stored]:
        taken: list[Stored] = []
        for message in self._in_order() if self._fifo else self._by_time():
            if message.receive_count >= self.max_receive_count:
                del self._all[message.number]
                self.redriven.append(message)
                continue
            taken.append(message)
            if len(taken) == most:
                break
        return taken

    def _by_time(self) -> Iterator[Stored]:
        while (at := self._next_visible_at()) is not None and at <= self._clock.time:
            yield self._all[heapq.heappop(self._due)[1]]

    def _in_order(self) -> Iterator[Stored]:
        for group_id in [*self._groups]:
            visible_at = self._group_visible_at(group_id)
            if visible_at is not None and visible_at <= self._clock.time:
                yield from (
                    each
                    for each in [*self._groups[group_id]]
                    if each.number in self._all and each.sent_at <= self._clock.time
                )

    def _hide(self, message: Stored, seconds: float) -> None:
        message.visible_at = self._clock.time + seconds
        heapq.heappush(self._due, (message.visible_at, message.number))

    def _found(self, entry: Mapping[str, Any]) -> Stored | None:
        number = int(entry["ReceiptHandle"].split("-")[1])
        message = self._all.get(number)
        return message if message is not None and message.handle == entry["ReceiptHandle"] else None

    def _delete(self, entry: Mapping[str, Any]) -> None:
        message = self._found(entry)
        if message is not None:
            del self._all[message.number]
            self.deleted[message.number] = self._clock.time
            self._on_delete(message.number)

    def _change_visibility(self, entry: Mapping[str, Any]) -> None:
        message = self._found(entry)
        if message is not None:
            self._hide(message, float(entry["VisibilityTimeout"]))
