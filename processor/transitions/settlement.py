"""Settles messages: dead-letter, delete, back off or release, each only after its effect is durable
(docs/invariants.md, law 3)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from handlers.transitions import DISPOSITIONS, Disposition
from processor.dead_letters import DeadLetter, DeadLetterQueue
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
from processor.transitions.context import PipelineContext
from processor.transitions.event_queue import EventQueue, back_off_seconds
from processor.transitions.messages import Message
from processor.transitions.outcome_log import OutcomeLog
from processor.transitions.queue_monitor import QueueMonitor
from processor.transitions.results import EventResult


@dataclass(slots=True)
class SettlementPlan:
    """What happens to a batch's messages.

    Attributes:
        delete: their effect is durable.
        back_off: they stay in the queue and are received again after a back-off.
        release: they can be received again at once.
    """

    delete: list[Message] = field(default_factory=list)
    back_off: list[Message] = field(default_factory=list)
    release: list[Message] = field(default_factory=list)

    def add(self, other: "SettlementPlan") -> None:
        """Adds another plan's messages."""
        self.delete += other.delete
        self.back_off += other.back_off
        self.release += other.release


class Settlement:
    """Carries results out on the queues; safe for many threads.

    Args:
        queue: the event queue.
        dead_letters: the dead-letter queue.
        log: takes the outcomes' lines.
        monitor: knows the queue's maxReceiveCount.
        context: the pipeline's.
    """

    def __init__(
        self,
        queue: EventQueue,
        dead_letters: DeadLetterQueue,
        log: OutcomeLog,
        monitor: QueueMonitor,
        context: PipelineContext,
    ) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._log = log
        self._monitor = monitor
        self._metrics = context.metrics
        self._jitter = context.clocks.jitter

    def plan(self, results: Sequence[EventResult], deadline: float) -> SettlementPlan:
        """Logs and counts results, and copies rejected messages to the dead-letter queue.

        At the last receive a message that would stay is copied too: SQS would move it without a reason.

        Args:
            results: of different messages.
            deadline: on `time.monotonic()`; no call begins after it.

        Returns:
            What is left to do with the messages.
        """
        plan = SettlementPlan()
        rejected: list[EventResult] = []
        for result in results:
            disposition = DISPOSITIONS[result.outcome]
            exhausted = disposition is Disposition.LEAVE and self._is_last_receive(result.message)
            self._log.write(result, exhausted=exhausted)
            if exhausted or disposition is Disposition.DEAD_LETTER:
                rejected.append(result)
            elif disposition is Disposition.DELETE:
                plan.delete.append(result.message)
            elif result.untried:
                plan.release.append(result.message)
            else:
                plan.back_off.append(result.message)
        for outcome, count in Counter(result.outcome for result in results).items():
            self._metrics.count(Metric[outcome.name], count)
        if rejected:
            self._dead_letter(rejected, plan, deadline)
        return plan

    def carry_out(self, plan: SettlementPlan, deadline: float, *, release_first: bool) -> None:
        """Deletes, backs off and releases. What cannot be deleted comes back as a duplicate; what cannot be
        released comes back after its visibility timeout.

        Args:
            plan: a batch's messages.
            deadline: on `time.monotonic()`; no call begins after it.
            release_first: for a drain's last seconds, where a silent SQS leaves time for one call.
        """
        if not release_first:
            self._delete(plan.delete, deadline)
            self._make_visible(plan, deadline)
        elif self._make_visible(plan, deadline):
            self._delete(plan.delete, deadline)

    def _delete(self, messages: Sequence[Message], deadline: float) -> None:
        undone = self._queue.delete(messages, deadline).not_taken
        if undone:
            get_logger().warning("delete_failed", messages=len(undone), consequence="they come back")

    def _make_visible(self, plan: SettlementPlan, deadline: float) -> bool:
        """Whether SQS answers: it took or refused something, or there was nothing to do."""
        pairs = [
            (message, back_off_seconds(message.receive_count, self._jitter)) for message in plan.back_off
        ]
        pairs += [(message, 0) for message in plan.release]
        if not pairs:
            return True
        answer = self._queue.make_visible(pairs, deadline)
        if answer.not_taken:
            get_logger().warning(
                "release_failed",
                messages=len(answer.not_taken),
                consequence="they come back after the visibility timeout",
            )
        return answer.answered or bool(answer.done)

    def _dead_letter(self, rejected: Sequence[EventResult], plan: SettlementPlan, deadline: float) -> None:
        sent = self._dead_letters.send([_letter(result) for result in rejected], deadline)
        for index, result in enumerate(rejected):
            if index in sent.done:
                plan.delete.append(result.message)
                continue
            plan.back_off.append(result.message)
        if len(sent.done) < len(rejected):
            get_logger().error(
                "dead_letter_failed",
                messages=len(rejected) - len(sent.done),
                refused=len(sent.refused),
                consequence="refused ones are left to the queue's own redrive, others tried again later",
            )
        self._metrics.count(Metric.DEAD_LETTERED, len(sent.done))

    def _is_last_receive(self, message: Message) -> bool:
        most = self._monitor.max_receive_count
        return most is not None and message.receive_count >= most


def _letter(result: EventResult) -> DeadLetter:
    message = result.message
    return DeadLetter(
        body=message.body,
        outcome=result.outcome.value,
        reason=result.reason,
        source_message_id=message.message_id,
        receive_count=message.receive_count,
        group_id=message.group_id,
        attributes=message.attributes,
        trace_header=message.trace_header,
    )
