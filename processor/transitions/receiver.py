"""The receiver: short steps of receive, apply and settle, each of which says how long to wait for the next.

Nothing is handed from thread to thread, so nothing is lost in memory: a message that is not deleted comes
back. A cycle receives ten messages. While more are to be expected it receives them without waiting, up to
fifty, so that writes and deletes fill their batches. A short page tells nothing: below about a thousand
waiting messages SQS mostly gives fewer than it has.
"""

import uuid
from collections.abc import Iterator

from processor.aws.errors import AwsError, Misconfigured, Transient
from processor.aws.sqs import SQS_MAX_BATCH
from processor.backoff import BackOff
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.context import PipelineContext
from processor.transitions.event_queue import EventQueue
from processor.transitions.handling import BatchHandler
from processor.transitions.intake import MAX_BATCH, Intake
from processor.transitions.messages import Message, newest_handles
from processor.transitions.queue_monitor import QueueMonitor

COMPONENT = "event queue"
FIRST_POLL_SECONDS = 1  # the start waits for it
MOST_MISSES = 2  # empty pages of a batch
MANY_MISSING = 5.0  # messages for which an empty page is followed by another receive
_OVER = "over"  # of a batch: there was no step left


class Receiver:
    """One receiving thread's work.

    Args:
        number: of this receiver, from 0.
        queue, intake, handler, breaker: see their classes.
        monitor: knows how long a batch may take.
        context: the pipeline's; its health shows why the queue cannot be read.
    """

    def __init__(
        self,
        number: int,
        *,
        queue: EventQueue,
        intake: Intake,
        handler: BatchHandler,
        breaker: CircuitBreaker,
        monitor: QueueMonitor,
        context: PipelineContext,
    ) -> None:
        self._number = number
        self._queue = queue
        self._intake = intake
        self._handler = handler
        self._breaker = breaker
        self._monitor = monitor
        self._context = context
        self._monotonic = context.clocks.monotonic
        self._batch_limit = MAX_BATCH
        self._attempt = str(uuid.uuid4())
        self._reported = False
        self._back_off = BackOff(
            context.timing.receive_back_off_seconds,
            context.timing.receive_back_off_most_seconds,
            jitter=context.clocks.jitter,
        )
        self._began = self._received = self._monotonic()
        self._expected = 0.0
        self._may_miss = 0
        self._is_more = False
        self._messages: list[Message] = []
        self._batch: Iterator[None] | None = None

    def first_receive(self) -> None:
        """Receives before the loop runs; what comes is handled by its first steps. Without an answer the loop
        tries again.

        Raises:
            Misconfigured: if the queue refuses receives.
        """
        self._poll(FIRST_POLL_SECONDS, is_first=True)

    def step(self) -> float | None:
        """Makes one receive, or applies or settles a part of what was received.

        Returns:
            How many seconds to wait before the next step; None after the last one, when `stop` is set and
            every received message is settled.
        """
        if self._batch:
            return self._handle(self._batch)
        if self._messages:
            return self._receive_more()
        if self._context.stop.is_set():
            return None
        pause = self._breaker.pause() or self._intake.parked_seconds(self._number)
        return pause or self._poll(self._context.settings.poll_seconds)

    def _receive(self, wait_seconds: int) -> list[Message]:
        """Receives; after an error that may have lost an answer the next receive asks for the same again."""
        attempt, self._attempt = self._attempt, str(uuid.uuid4())
        try:
            return self._queue.receive(wait_seconds, attempt)
        except Transient as error:
            if not error.throttled:
                self._attempt = attempt
            raise

    def _poll(self, wait_seconds: int, *, is_first: bool = False) -> float:
        began = self._monotonic()
        try:
            page = self._receive(wait_seconds)
        except AwsError as error:
            if is_first and isinstance(error, Misconfigured):
                raise
            return self._after_failed_receive(error)
        self._back_off.worked()
        if self._reported:
            self._reported = False
            self._context.health.report(COMPONENT, None)
        now = self._monotonic()
        found = self._intake.first_page(page, now - began)
        self._expected, self._is_more = found.expected, found.is_late
        self._began = now if found.waited else began
        self._may_miss = MOST_MISSES
        self._received = now
        return self._take(page)

    def _receive_more(self) -> float:
        try:
            page = self._receive(0)
        except AwsError as error:
            self._context.metrics.count(Metric.RECEIVE_ERRORS)
            get_logger().warning("receive_failed", error=str(error), next_try_seconds=0)
            page = []
        self._intake.further_page(page)
        return self._take(page)

    def _take(self, page: list[Message]) -> float:
        """Adds a page. Begins a batch unless more is to be expected, there is room, and the table takes
        writes."""
        self._messages += page
        room = self._batch_limit - len(self._messages)
        more = (
            room > 0
            and (len(page) == SQS_MAX_BATCH or self._expects_more(page))
            and not self._breaker.is_tripped
            and not self._context.stop.is_set()
        )
        if self._messages and not more:
            self._is_more |= room <= 0
            messages, self._messages = newest_handles(self._messages), []
            self._batch = self._handler.steps(messages, self._received, self._monitor.handling_seconds)
        return 0.0

    def _handle(self, batch: Iterator[None]) -> float:
        if next(batch, _OVER) is not _OVER:
            return 0.0
        self._batch = None
        self._adapt(self._monotonic() - self._received)
        if self._context.stop.is_set():
            return 0.0
        # A pause, so that events gather.
        return self._intake.pause_seconds(self._monotonic() - self._began, more=self._is_more)

    def _expects_more(self, page: list[Message]) -> bool:
        missing = self._expected - len(self._messages)
        if page or not self._may_miss:
            return len(page) > 0 and missing > 0
        self._may_miss -= 1  # SQS asks only some of its servers
        return missing > MANY_MISSING

    def _after_failed_receive(self, error: AwsError) -> float:
        pause = self._back_off.failed()
        self._context.metrics.count(Metric.RECEIVE_ERRORS)
        log = get_logger()
        # What only an operator can change is an error.
        write = log.error if isinstance(error, Misconfigured) else log.warning
        write("receive_failed", error=str(error), next_try_seconds=round(pause, 1))
        self._reported = True
        self._context.health.report(COMPONENT, str(error))
        return pause

    def _adapt(self, seconds: float) -> None:
        """Limits a batch to what can be handled in its time, with a wide margin."""
        if seconds > self._monitor.handling_seconds / 4:
            self._batch_limit = max(SQS_MAX_BATCH, self._batch_limit // 2)
        elif self._batch_limit < MAX_BATCH:
            self._batch_limit = min(MAX_BATCH, self._batch_limit * 2)
