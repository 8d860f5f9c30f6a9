"""Handles a batch of messages from decoding to settlement, in steps that each make their calls."""

import threading
from collections.abc import Sequence
from datetime import datetime

from handlers.envelopes import InvalidEvent
from handlers.events import ExportEvent, decode
from handlers.transitions import Outcome, seconds_past
from processor.aws.clients import SETTLE_CALL_SECONDS
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.transitions.applier import Applier, Delivery
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.fifo import FifoOrder
from processor.transitions.look_up import LookUp
from processor.transitions.messages import Message
from processor.transitions.results import EventResult, out_of_time, paused
from processor.transitions.settlement import Settlement, SettlementPlan
from processor.transitions.timing import Clocks

OLD_BACKLOG_SECONDS = 5.0  # since the youngest message that is received for the first time was sent
SETTLE_SECONDS = 13.0  # of a visibility timeout: the write that has begun (5 s at worst), then settling
_UNREADABLE = "the body could not be read, which is a defect of the consumer"


class BatchHandler:
    """Decodes, applies and settles messages; safe for many threads.

    Args:
        applier, settlement, breaker, metrics: see their classes.
        clocks: our clocks.
        abandon: set when nothing may begin any more; messages are released then.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
        fifo: whether the queue is FIFO.
    """

    def __init__(
        self,
        *,
        applier: Applier,
        settlement: Settlement,
        breaker: CircuitBreaker,
        metrics: Metrics,
        clocks: Clocks,
        abandon: threading.Event,
        ttl_seconds: int,
        fifo: bool,
    ) -> None:
        self._applier = applier
        self._settlement = settlement
        self._breaker = breaker
        self._metrics = metrics
        self._clocks = clocks
        self._abandon = abandon
        self._ttl_seconds = ttl_seconds
        self.fifo = fifo

    def decode(self, message: Message) -> ExportEvent | EventResult:
        """The message's event, or the result of a message that holds none."""
        now = self._clocks.now()
        try:
            return decode(message.body, now=now, sent_at=message.sent_at, fifo=self.fifo)
        except InvalidEvent as broken:
            return EventResult(message, Outcome.INVALID, reason=str(broken))
        except Exception as defect:  # noqa: BLE001 - docs/contract.md, section 3: "fails in any way"; else one
            # message would end every task that receives it.
            get_logger().error("decode_failed", exc_info=defect, **message.log_fields())
            return EventResult(message, Outcome.INVALID, reason=_UNREADABLE)

    def observe(self, messages: Sequence[Message]) -> None:
        """Measures a batch that begins."""
        self._metrics.observe(Metric.BATCH_FILL, len(messages))
        now = self._clocks.now()
        oldest = min((message.sent_at for message in messages if message.sent_at), default=now)
        self._metrics.gauge(Metric.OLDEST_MESSAGE_AGE, max(0.0, (now - oldest).total_seconds()))

    def look_up(self, messages: Sequence[Message]) -> LookUp:
        """The look-up of a batch. Items of expired events are looked up too unless the backlog is old."""
        return self._applier.look_up(late_too=not backlog_is_old(messages, self._clocks.now()))

    def apply(self, deliveries: Sequence[Delivery], look_up: LookUp, deadline: float) -> list[EventResult]:
        """Applies events.

        Args:
            deliveries: in order of arrival.
            look_up: the batch's.
            deadline: on `time.monotonic()`; no write begins after it.

        Returns:
            A result for each delivery, in no particular order.
        """
        if self._breaker.is_tripped:
            return [paused(*delivery) for delivery in deliveries]
        if self._abandon.is_set() or self._clocks.monotonic() >= deadline:
            return [out_of_time(*delivery) for delivery in deliveries]
        applied = self._applier.apply(deliveries, deadline, look_up)
        if applied.outage:
            self._breaker.trip(applied.outage)
        self._measure([result for result in applied.results if result.outcome is Outcome.APPLIED])
        return applied.results

    def _measure(self, applied: Sequence[EventResult]) -> None:
        """Measures what users feel: how old events are when they are written, and what life is left then.

        The life is known where the event carries `createdAt`.
        """
        now = self._clocks.now()
        ages = [
            (now - result.message.sent_at).total_seconds() for result in applied if result.message.sent_at
        ]
        self._metrics.observe(Metric.SENT_TO_APPLIED, *[max(0.0, age) * 1_000 for age in ages])
        ttls = [result.event.ttl(self._ttl_seconds) for result in applied if result.event]
        for ttl in ttls:
            if ttl is not None:
                self._metrics.gauge(Metric.LIFE_LEFT, -seconds_past(ttl, now))

    def plan(self, results: Sequence[EventResult], deadline: float) -> SettlementPlan:
        """Copies rejected messages to the dead-letter queue; see `Settlement.plan`."""
        return self._settlement.plan(results, deadline)

    def settle(self, plan: SettlementPlan, deadline: float) -> None:
        """Deletes, backs off and releases a batch's messages."""
        self._settlement.carry_out(plan, deadline, release_first=self._abandon.is_set())
        if plan.release:
            get_logger().warning(
                "batch_given_up", messages=len(plan.release), consequence="released, they come back"
            )


class Batch:
    """Messages that are handled together, within one visibility timeout.

    Args:
        handler: does the work.
        messages: in the order received, each once.
        received: when the first of them was received, on `time.monotonic()`.
        handling_seconds: how long it may take.
    """

    def __init__(
        self, handler: BatchHandler, messages: Sequence[Message], received: float, handling_seconds: int
    ) -> None:
        self._handler = handler
        self._deadline = received + handling_seconds - SETTLE_SECONDS
        self._settle_deadline = received + handling_seconds - SETTLE_CALL_SECONDS
        self._events: dict[str, ExportEvent] = {}
        self._invalid: dict[str, EventResult] = {}
        for message in messages:
            match handler.decode(message):
                case EventResult() as invalid:
                    self._invalid[message.message_id] = invalid
                case event:
                    self._events[message.message_id] = event
        handler.observe(messages)
        exports = {message_id: event.request_id for message_id, event in self._events.items()}
        self._order = FifoOrder(messages, exports) if handler.fifo else None
        self._rest = messages
        self._plan = SettlementPlan()
        self._look_up = handler.look_up(messages)

    def step(self) -> bool:
        """Applies the next part of the batch, or settles the batch; whether another step is to follow."""
        part = self._order.next_wave(self._plan) if self._order else self._rest
        self._rest = []
        if not part:
            self._handler.settle(self._plan, self._settle_deadline)
            return False
        events, invalid = self._events, self._invalid
        deliveries = [Delivery(m, events[m.message_id]) for m in part if m.message_id in events]
        results = self._handler.apply(deliveries, self._look_up, self._deadline) if deliveries else []
        results += [invalid[m.message_id] for m in part if m.message_id in invalid]
        plan = self._handler.plan(results, self._settle_deadline)
        if self._order:
            self._order.keep(part, plan)
        self._plan.add(plan)
        return True


def backlog_is_old(messages: Sequence[Message], now: datetime) -> bool:
    """Whether the queue is behind: even the youngest of its new messages was sent a while ago.

    Args:
        messages: a batch. Messages that were received before tell nothing: a back-off made them old.
        now: our clock.
    """
    sent = [message.sent_at for message in messages if message.sent_at and message.receive_count == 1]
    return bool(sent) and (now - max(sent)).total_seconds() > OLD_BACKLOG_SECONDS
