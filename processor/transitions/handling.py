"""Handles a batch of messages from decoding to settlement, in steps that each make their calls."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from handlers.envelopes import InvalidEvent
from handlers.events import ExportEvent, decode
from handlers.transitions import Outcome, seconds_past
from processor.aws.clients import SETTLE_CALL_SECONDS
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
from processor.transitions.applier import Applier, Delivery
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.context import PipelineContext
from processor.transitions.fifo import keep_order, waves
from processor.transitions.look_up import LookUp
from processor.transitions.messages import Message
from processor.transitions.results import EventResult, out_of_time, paused
from processor.transitions.settlement import Settlement, SettlementPlan

OLD_BACKLOG_SECONDS = 5.0  # since the youngest message that is received for the first time was sent
SETTLE_SECONDS = 13.0  # of a visibility timeout: the write that has begun (5 s at worst), then settling
_UNREADABLE = "the body could not be read, which is a defect of the consumer"


class BatchHandler:
    """Decodes, applies and settles messages; safe for many threads.

    Args:
        applier, settlement, breaker: see their classes.
        context: the pipeline's.
    """

    def __init__(
        self, applier: Applier, settlement: Settlement, breaker: CircuitBreaker, context: PipelineContext
    ) -> None:
        self._applier = applier
        self._settlement = settlement
        self._breaker = breaker
        self._context = context
        self._fifo = context.settings.required_queue_url().endswith(".fifo")

    def steps(self, messages: Sequence[Message], received: float, handling_seconds: float) -> Iterator[None]:
        """Handles a batch within one visibility timeout. Yields after each step that makes calls; the last
        one settles the batch.

        On a FIFO queue a message that stays in the queue holds back the later ones of its group.

        Args:
            messages: in the order received, each once.
            received: when the first of them was received, on `time.monotonic()`.
            handling_seconds: how long the batch may take.
        """
        deadline = received + handling_seconds - SETTLE_SECONDS
        settle_deadline = received + handling_seconds - SETTLE_CALL_SECONDS
        decoded = {message.message_id: self._decode(message) for message in messages}
        events = {key: each for key, each in decoded.items() if isinstance(each, ExportEvent)}
        invalid = {key: each for key, each in decoded.items() if isinstance(each, EventResult)}
        self._observe(messages)
        now = self._context.clocks.now()
        look_up = self._applier.look_up(late_too=not backlog_is_old(messages, now))
        settling = SettlementPlan()
        blocked: set[str | None] = set()
        exports = {message_id: event.request_id for message_id, event in events.items()}
        for wave in waves(messages, exports) if self._fifo else [messages]:
            part = [message for message in wave if message.group_id not in blocked]
            settling.back_off += [message for message in wave if message.group_id in blocked]
            if not part:
                continue
            deliveries = [Delivery(m, events[m.message_id]) for m in part if m.message_id in events]
            results = self._apply(deliveries, look_up, deadline) if deliveries else []
            results += [invalid[m.message_id] for m in part if m.message_id in invalid]
            plan = self._settlement.plan(results, settle_deadline)
            if self._fifo:
                keep_order(part, plan)
                blocked |= {message.group_id for message in plan.back_off}
            settling.add(plan)
            yield
        self._settle(settling, settle_deadline)

    def _decode(self, message: Message) -> ExportEvent | EventResult:
        """The message's event, or the result of a message that holds none."""
        now = self._context.clocks.now()
        try:
            return decode(message.body, now=now, sent_at=message.sent_at, fifo=self._fifo)
        except InvalidEvent as broken:
            return EventResult(message, Outcome.INVALID, reason=str(broken))
        except Exception as defect:  # noqa: BLE001 - docs/contract.md, section 3: "fails in any way"; else one
            # message would end every task that receives it.
            get_logger().error("decode_failed", exc_info=defect, **message.log_fields())
            return EventResult(message, Outcome.INVALID, reason=_UNREADABLE)

    def _observe(self, messages: Sequence[Message]) -> None:
        """Measures a batch that begins."""
        self._context.metrics.observe(Metric.BATCH_FILL, len(messages))
        now = self._context.clocks.now()
        oldest = min((message.sent_at for message in messages if message.sent_at), default=now)
        self._context.metrics.gauge(Metric.OLDEST_MESSAGE_AGE, max(0.0, (now - oldest).total_seconds()))

    def _apply(self, deliveries: Sequence[Delivery], look_up: LookUp, deadline: float) -> list[EventResult]:
        if self._breaker.is_tripped:
            return [paused(*delivery) for delivery in deliveries]
        if not self._context.has_time(deadline):
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
        now, metrics = self._context.clocks.now(), self._context.metrics
        ages = [
            (now - result.message.sent_at).total_seconds() for result in applied if result.message.sent_at
        ]
        metrics.observe(Metric.SENT_TO_APPLIED, *[max(0.0, age) * 1_000 for age in ages])
        ttls = [result.event.ttl(self._context.settings.ttl_seconds) for result in applied if result.event]
        for ttl in ttls:
            if ttl is not None:
                metrics.gauge(Metric.LIFE_LEFT, -seconds_past(ttl, now))

    def _settle(self, plan: SettlementPlan, deadline: float) -> None:
        self._settlement.carry_out(plan, deadline, release_first=self._context.abandon.is_set())
        if plan.release:
            get_logger().warning(
                "batch_given_up", messages=len(plan.release), consequence="released, they come back"
            )


def backlog_is_old(messages: Sequence[Message], now: datetime) -> bool:
    """Whether the queue is behind: even the youngest of its new messages was sent a while ago.

    Args:
        messages: a batch. Messages that were received before tell nothing: a back-off made them old.
        now: our clock.
    """
    sent = [message.sent_at for message in messages if message.sent_at and message.receive_count == 1]
    return bool(sent) and (now - max(sent)).total_seconds() > OLD_BACKLOG_SECONDS
