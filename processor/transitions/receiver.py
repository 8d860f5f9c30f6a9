"""The receiver: one thread's short cycle of receive, apply and settle.

Nothing is handed from thread to thread, so nothing is lost in memory: a message that is not deleted
comes back. A cycle receives ten messages, and while pages come back full it receives more without
waiting, up to fifty, so that writes and deletes fill their batches.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from handlers.envelopes import InvalidEvent
from handlers.events import ExportEvent, decode
from handlers.transitions import Outcome
from processor.aws.clients import SETTLE_CALL_SECONDS
from processor.aws.errors import AwsError, Misconfigured
from processor.aws.sqs import SQS_MAX_BATCH
from processor.observability.health import Heartbeat
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.transitions.applier import Applier
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.event_queue import EventQueue
from processor.transitions.messages import EventResult, Message, SettlementPlan, newest_handles, waves
from processor.transitions.results import out_of_time, paused
from processor.transitions.settlement import Settlement

MAX_IN_HAND = 50
SETTLE_SECONDS = 13.0  # kept of a visibility timeout: the write in hand (5 s at worst), then settling
FIRST_BACK_OFF_SECONDS = 0.5
MAX_BACK_OFF_SECONDS = 30.0
MAX_REFUSED_AT_START = 5
_UNREADABLE = "the body could not be read, which is a defect of the consumer"


class QueueUnusable(Exception):
    """The queue has refused every receive since the start; the message is one clear line."""


class Receiver:
    """One receiving thread's work; `run` returns when it is told to stop.

    Args:
        queue, applier, settlement, breaker, metrics, heartbeat: the collaborators, see their classes.
        report: told why the queue cannot be read, and None once it can.
        clock: our clock.
        stop: no new receive once it is set.
        abandon: nothing is started any more once it is set; messages in hand are released.
        poll_seconds: how long one receive waits.
        visibility_seconds: the queue's visibility timeout.
        fifo: whether the queue is FIFO.
        monotonic: for deadlines.
    """

    def __init__(
        self,
        *,
        queue: EventQueue,
        applier: Applier,
        settlement: Settlement,
        breaker: CircuitBreaker,
        metrics: Metrics,
        heartbeat: Heartbeat,
        report: Callable[[str | None], None],
        clock: Callable[[], datetime],
        stop: threading.Event,
        abandon: threading.Event,
        poll_seconds: int,
        visibility_seconds: int,
        fifo: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._applier = applier
        self._settler = settlement
        self._breaker = breaker
        self._metrics = metrics
        self._heartbeat = heartbeat
        self._report = report
        self._clock = clock
        self._stop = stop
        self._abandon = abandon
        self._poll_seconds = poll_seconds
        self._visibility_seconds = visibility_seconds
        self._fifo = fifo
        self._monotonic = monotonic
        self._in_hand_limit = MAX_IN_HAND
        self._ever_received = False
        self._refused = 0
        self._reported = False
        self._back_off = FIRST_BACK_OFF_SECONDS

    def run(self) -> None:
        """Receives, applies and settles until `stop` is set.

        Raises:
            QueueUnusable: if the queue refuses every receive from the start on.
        """
        while not self._stop.is_set():
            self._heartbeat.beat()
            self._breaker.wait_until_open(self._stop, self._heartbeat)
            if self._stop.is_set():
                break
            try:
                page = self._queue.receive(self._poll_seconds)
            except AwsError as error:
                self._after_failed_receive(error)
                continue
            self._ever_received = True
            self._back_off = FIRST_BACK_OFF_SECONDS
            if self._reported:
                self._reported = False
                self._report(None)
            if page:
                received = self._monotonic()
                self._handle(self._fill_up(page), received)
        self._heartbeat.close()

    def _after_failed_receive(self, error: AwsError) -> None:
        self._metrics.count(Metric.RECEIVE_ERRORS)
        get_logger().warning("receive_failed", error=str(error), next_try_seconds=round(self._back_off, 1))
        self._reported = True
        self._report(str(error))
        if isinstance(error, Misconfigured) and not self._ever_received:
            self._refused += 1
            if self._refused == MAX_REFUSED_AT_START:
                raise QueueUnusable(
                    f"the event queue refuses to be read ({error}): check its URL and permissions"
                )
        self._heartbeat.wait(self._stop, self._back_off * random.uniform(0.5, 1))
        self._back_off = min(MAX_BACK_OFF_SECONDS, self._back_off * 2)

    def _fill_up(self, page: list[Message]) -> list[Message]:
        """Receives more without waiting, while pages are full, there is room, and the table takes writes."""
        messages = page
        while (
            len(page) == SQS_MAX_BATCH
            and len(messages) < self._in_hand_limit
            and self._breaker.is_open
            and not self._stop.is_set()
        ):
            try:
                page = self._queue.receive(0)
            except AwsError as error:
                self._metrics.count(Metric.RECEIVE_ERRORS)
                get_logger().warning("receive_failed", error=str(error), next_try_seconds=0)
                break
            messages = messages + page
        return newest_handles(messages)

    def _handle(self, messages: Sequence[Message], received: float) -> None:
        """One batch from decode to delete, within one visibility timeout."""
        deadline = received + self._visibility_seconds - SETTLE_SECONDS
        until = received + self._visibility_seconds - SETTLE_CALL_SECONDS
        self._metrics.observe(Metric.BATCH_FILL, len(messages))
        now = self._clock()
        oldest = min((message.sent_at for message in messages if message.sent_at), default=now)
        self._metrics.gauge(Metric.OLDEST_MESSAGE_AGE, max(0.0, (now - oldest).total_seconds()))
        invalid, events = self._decode(messages, now)
        if self._fifo:
            exports = {
                message.message_id: events[message.message_id].request_id
                if message.message_id in events
                else None
                for message in messages
            }
            steps = waves(messages, exports)
        else:
            steps = [list(messages)]
        settled = SettlementPlan()
        blocked: set[str | None] = set()
        for step in steps:
            mine = [message for message in step if message.group_id not in blocked] if self._fifo else step
            result = self._settler.dead_letter(self._judge(mine, invalid, events, deadline, received), until)
            if self._fifo:
                result.keep_order(mine)
                result.left += [message for message in step if message.group_id in blocked]
                blocked |= {message.group_id for message in result.left}
            settled.add(result)
        self._settler.settle(settled, until, giving_back_first=self._abandon.is_set())
        if settled.untried:
            get_logger().warning(
                "batch_given_up", messages=len(settled.untried), consequence="released, they come back"
            )
        self._adapt(self._monotonic() - received)

    def _decode(
        self, messages: Sequence[Message], now: datetime
    ) -> tuple[dict[str, EventResult], dict[str, ExportEvent]]:
        invalid: dict[str, EventResult] = {}
        events: dict[str, ExportEvent] = {}
        for message in messages:
            try:
                events[message.message_id] = decode(
                    message.body, now=now, sent_at=message.sent_at, fifo=self._fifo
                )
            except InvalidEvent as broken:
                invalid[message.message_id] = EventResult(message, Outcome.INVALID, reason=str(broken))
            except Exception as defect:  # noqa: BLE001 - contract section 3: "fails in any way"; else one
                # message would end every task that receives it.
                get_logger().error("decode_failed", message_id=message.message_id, exc_info=defect)
                invalid[message.message_id] = EventResult(message, Outcome.INVALID, reason=_UNREADABLE)
        return invalid, events

    def _judge(
        self,
        messages: Sequence[Message],
        invalid: dict[str, EventResult],
        events: dict[str, ExportEvent],
        deadline: float,
        received: float,
    ) -> list[EventResult]:
        """A result for each message, in no particular order."""
        if not self._breaker.is_open:
            # What is no event needs no table: its outcome is known.
            return [invalid.get(m.message_id) or paused(m, events.get(m.message_id)) for m in messages]
        if self._abandon.is_set() or self._monotonic() >= deadline:
            return [out_of_time(m, events.get(m.message_id)) for m in messages]
        deliveries = [(m, events[m.message_id]) for m in messages if m.message_id in events]
        results, outage = self._applier.apply(deliveries, deadline)
        if outage:
            self._breaker.close(outage)
        applied = sum(result.outcome is Outcome.APPLIED for result in results)
        self._metrics.observe(Metric.RECEIVE_TO_APPLIED, *[(self._monotonic() - received) * 1_000] * applied)
        return results + [invalid[m.message_id] for m in messages if m.message_id in invalid]

    def _adapt(self, seconds: float) -> None:
        """Asks for no more than can be handled in a visibility timeout, with a wide margin."""
        if seconds > self._visibility_seconds / 4:
            self._in_hand_limit = max(SQS_MAX_BATCH, self._in_hand_limit // 2)
        elif self._in_hand_limit < MAX_IN_HAND:
            self._in_hand_limit = min(MAX_IN_HAND, self._in_hand_limit * 2)
