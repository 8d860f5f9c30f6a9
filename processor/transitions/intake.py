"""How many receivers poll, and how long one pauses so that events gather and calls fill up.

One receiver polls while it is quiet. A lone event is received at once by the open long poll. Where the recent
rate promises company within the linger time, a receiver pauses before its next poll. Events gather in the
queue, and one write and one delete take many of them. Pausing needs as few calls as holding a page until a
deadline, an event waits for less long, and the order of FIFO queues keeps by itself.
"""

import math
import threading
from collections.abc import Callable, Sequence

from processor.transitions.messages import Message
from processor.transitions.timing import Clocks

MAX_BATCH = 50
RATE_SECONDS = 2.0  # the time over which arrivals are averaged
LATE_SECONDS = 0.15  # a message that waited longer, without a pause of ours, shows that receivers are missing
WAITED_SECONDS = 0.1  # a receive that took longer had to wait for a message
CALM_BATCHES = 20  # in a row, before one of several receivers stops polling
PARKED_SECONDS = 20.0  # between two looks of a receiver that is not needed; it is woken when it is


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
        self._clock_error = 0.0  # how much younger or older messages look than they are
        self._calm = 0
        self._polling = 1

    @property
    def polling(self) -> int:
        """How many receivers poll."""
        return self._polling

    def parked_seconds(self, number: int) -> float:
        """How long this receiver need not poll (seconds); 0 if it is needed."""
        return 0.0 if number < self._polling else PARKED_SECONDS

    def rate(self) -> float:
        """Messages that came for the first time, a second, lately."""
        with self._lock:
            return self._rate_at(self._clocks.monotonic())

    def first_page(self, page: Sequence[Message], waited_seconds: float, paused_seconds: float) -> None:
        """Learns from a receive that was willing to wait.

        Args:
            page: what it received.
            waited_seconds: how long it took.
            paused_seconds: how long the receiver had paused before it.
        """
        new = self._new(page)
        age = self._age(new)
        with self._lock:
            self._count(len(new))
            if waited_seconds > WAITED_SECONDS:
                if age is not None:
                    self._clock_error = age  # it came while we waited, so it was new
                self._calm = 0
                self._polling = max(1, self._polling - 1)
                return
        if age is not None and age - self._clock_error > paused_seconds + LATE_SECONDS:
            self.behind()

    def further_page(self, page: Sequence[Message]) -> None:
        """Counts a page that followed at once."""
        with self._lock:
            self._count(len(self._new(page)))

    def behind(self) -> None:
        """Adds a receiver: messages wait for longer than they have to."""
        with self._lock:
            self._calm = 0
            if self._polling == self._most:
                return
            self._polling += 1
            added = self._polling - 1
        self._wake(added)

    def pause_seconds(self) -> float:
        """How long to pause before the next poll, after a batch that took all there was."""
        with self._lock:
            self._calm += 1
            if self._calm >= CALM_BATCHES:
                self._calm = 0
                self._polling = max(1, self._polling - 1)
            rate = self._rate_at(self._clocks.monotonic())
        if rate * self._linger_seconds < 1:
            return 0.0
        return min(self._linger_seconds, MAX_BATCH / rate)

    def _new(self, page: Sequence[Message]) -> list[Message]:
        return [message for message in page if message.receive_count == 1]

    def _age(self, new: Sequence[Message]) -> float | None:
        """Seconds since the youngest of these messages was sent, by our clock."""
        sent = [message.sent_at for message in new if message.sent_at]
        return (self._clocks.now() - max(sent)).total_seconds() if sent else None

    def _count(self, messages: int) -> None:
        now = self._clocks.monotonic()
        self._rate = self._rate_at(now) + messages / RATE_SECONDS
        self._rated_at = max(now, self._rated_at)

    def _rate_at(self, now: float) -> float:
        return self._rate * math.exp(-max(0.0, now - self._rated_at) / RATE_SECONDS)
