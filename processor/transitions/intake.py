"""How many receivers poll, and how long one pauses so that events gather and calls fill up.

One receiver polls while it is quiet. A lone event is received at once by the open long poll. Where the recent
rate promises company within the linger time, polls follow each other at a distance, whichever receiver makes
them. Events gather in the queue, and one write and one delete take many of them. Holding a page until a
deadline instead took 1.5, 1.0 and 0.56 calls an event at 20, 100 and 400 a second on a stand-in, where this
takes 1.2, 0.47 and 0.38. Events waited longer too: what comes while a page is held waits for the next one.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from processor.aws.sqs import SQS_MAX_BATCH
from processor.transitions.context import Clocks
from processor.transitions.messages import Message

MAX_BATCH = 50
RATE_SECONDS = 2.0  # the time over which arrivals are averaged
LINGER_SHARE = 0.7  # of the linger time between polls where several receives have to follow each
FILL = 0.8  # of a batch that has gathered when a poll begins; more comes during its receives
LATE_SECONDS = 0.05  # a message that is older than the time since the last receive was left over by it
WAITED_SECONDS = 0.1  # a receive that took longer, and is not full, had to wait for a message
IMPLAUSIBLE = 5.0  # messages that should have come during a receive that seems to have waited
CLOCK_SAMPLES = 5  # lone messages from which the error of our clock is taken
CALM_BATCHES = 20  # in a row, before one of several receivers stops polling
CALM_SHARE = 0.8  # of its time that a receiver may be busy after another has stopped
PARKED_SECONDS = 20.0  # between two looks of a receiver that is not needed; it is woken when it is


class Found(NamedTuple):
    """What a first page tells.

    Attributes:
        waited: whether the receive had to wait for a message.
        expected: how many messages should have gathered, those of the page included.
        is_late: whether messages are left over from earlier receives.
    """

    waited: bool
    expected: float
    is_late: bool


class Intake:
    """Shared by the receivers of a task; safe for many threads.

    Args:
        linger_seconds: how long an event may wait for others (EXPORT_LINGER_SECONDS).
        most: how many receivers there are (EXPORT_RECEIVERS).
        clocks: for rates and ages.
        wake: called with the number of a receiver that is to poll at once.
    """

    def __init__(self, linger_seconds: float, most: int, clocks: Clocks, wake: Callable[[int], None]) -> None:
        self._linger_seconds = linger_seconds
        self._most = most
        self._clocks = clocks
        self._wake = wake
        self._lock = threading.Lock()
        self._rate = 0.0  # messages a second, as of `_rated_at`
        self._rated_at = clocks.monotonic()
        self._lone_ages: deque[float] = deque(maxlen=CLOCK_SAMPLES)  # how old new messages look
        self._received_at = self._next_poll_at = self._rated_at
        self._rushed = 0
        self._calm = 0
        self.polling = 1
        """How many receivers poll."""

    def parked_seconds(self, number: int) -> float:
        """How long this receiver need not poll (seconds); 0 if it is needed."""
        return 0.0 if number < self.polling else PARKED_SECONDS

    def first_page(self, page: Sequence[Message], seconds: float) -> Found:
        """Learns from a receive that was willing to wait.

        Args:
            page: what it received.
            seconds: how long it took.
        """
        new = [message for message in page if message.receive_count == 1]
        age = self._age(new)
        with self._lock:
            now = self._clocks.monotonic()
            rate, gathered = self._rate_at(now), now - self._received_at
            self._count(len(new))
            # Where many should have come in that time, it is SQS that was slow.
            if seconds > WAITED_SECONDS and len(page) < SQS_MAX_BATCH and rate * seconds < IMPLAUSIBLE:
                if age is not None and len(new) == len(page) == 1:
                    self._lone_ages.append(age)  # it came while we waited
                self._stop_one()
                self._next_poll_at = now + self._gap(now)
                return Found(waited=True, expected=0.0, is_late=False)
            late = self._linger_seconds + LATE_SECONDS + min(self._lone_ages, default=0.0)
            return Found(waited=False, expected=rate * gathered, is_late=age is not None and age > late)

    def further_page(self, page: Sequence[Message]) -> None:
        """Counts a page that followed at once."""
        with self._lock:
            self._count(sum(message.receive_count == 1 for message in page))

    def pause_seconds(self, busy_seconds: float, *, more: bool) -> float:
        """How long a receiver has to pause before its next poll. Polls of a task follow each other at a
        distance in which a batch gathers, whichever receiver is free.

        Args:
            busy_seconds: how long its last batch took, from the first receive on.
            more: whether messages are sure to be left in the queue.
        """
        added = None
        with self._lock:
            now = self._clocks.monotonic()
            gap = self._gap(now)
            due = now if more or not gap else self._next_poll_at
            self._next_poll_at = max(now, due) + gap
            pause = max(0.0, due - now)
            self._rushed = self._rushed + 1 if more or now - due > LATE_SECONDS else 0
            if self._rushed > 1:
                added = self._add_one()
            elif busy_seconds * self.polling <= (busy_seconds + pause) * CALM_SHARE * (self.polling - 1):
                self._calm += 1
                if self._calm >= CALM_BATCHES:
                    self._stop_one()
            else:
                self._calm = 0
        if added is not None:
            self._wake(added)
        return pause

    def _gap(self, now: float) -> float:
        """How far apart polls are: until a batch has gathered, or as long as an event may wait for others."""
        rate = self._rate_at(now)
        company = rate * self._linger_seconds
        if company < 1:
            return 0.0
        share = 1.0 if company <= SQS_MAX_BATCH else LINGER_SHARE
        return min(share * self._linger_seconds, FILL * MAX_BATCH / rate)

    def _add_one(self) -> int | None:
        self._calm = 0
        if self.polling == self._most:
            return None
        self.polling += 1
        return self.polling - 1

    def _stop_one(self) -> None:
        self._calm = 0
        self.polling = max(1, self.polling - 1)

    def _age(self, new: Sequence[Message]) -> float | None:
        """Seconds since the youngest of these messages was sent, by our clock."""
        sent = [message.sent_at for message in new if message.sent_at]
        return (self._clocks.now() - max(sent)).total_seconds() if sent else None

    def _count(self, messages: int) -> None:
        now = self._clocks.monotonic()
        self._rate = self._rate_at(now) + messages / RATE_SECONDS
        self._rated_at = self._received_at = max(now, self._rated_at)

    def _rate_at(self, now: float) -> float:
        return self._rate * math.exp(-max(0.0, now - self._rated_at) / RATE_SECONDS)
