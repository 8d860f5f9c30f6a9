"""Settles messages: dead-letter, delete or leave, each only after its effect is durable (law 3)."""

from collections import Counter
from collections.abc import Iterable, Sequence

from handlers.transitions import DISPOSALS, Disposal, Outcome
from processor.dead_letters import DeadLetter, DeadLetterQueue
from processor.log import debug_is_on, get_logger
from processor.metrics import Metric, Metrics
from processor.transitions.event_queue import EventQueue, back_off_seconds
from processor.transitions.messages import Message, Verdict

_LOUD = frozenset({Outcome.EXPIRED, Outcome.INVALID, Outcome.CONFLICT})


class Settler:
    """Does to messages what their verdicts say; safe for many threads.

    Args:
        queue: the event queue.
        dead_letters: the dead-letter queue.
        metrics: counts outcomes.
        max_receive_count: from the queue's redrive policy; None where the queue has none.
    """

    def __init__(
        self,
        queue: EventQueue,
        dead_letters: DeadLetterQueue,
        metrics: Metrics,
        max_receive_count: int | None,
    ) -> None:
        self._queue = queue
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._max_receive_count = max_receive_count

    def dead_letter(self, verdicts: Sequence[Verdict]) -> tuple[list[Message], list[Message]]:
        """Logs and counts the verdicts and copies to the dead-letter queue what has to go there.

        Returns:
            The messages whose effect is durable, to be deleted; and those to be left in the queue.
        """
        durable: list[Message] = []
        left: list[Message] = []
        doomed: list[Verdict] = []
        for verdict in verdicts:
            log_outcome(verdict)
            match DISPOSALS[verdict.outcome]:
                case Disposal.DELETE:
                    durable.append(verdict.message)
                case Disposal.DEAD_LETTER:
                    doomed.append(verdict)
                case Disposal.LEAVE if self._is_last_receive(verdict.message):
                    doomed.append(verdict)
                case Disposal.LEAVE:
                    left.append(verdict.message)
        for outcome, count in Counter(verdict.outcome for verdict in verdicts).items():
            self._metrics.count(Metric[outcome.name], count)
        if doomed:
            self._copy(doomed, durable, left)
        return durable, left

    def delete(self, messages: Sequence[Message]) -> None:
        """Deletes messages whose effect is durable; what cannot be deleted comes back as a duplicate."""
        undone = self._queue.delete(messages)
        if undone:
            get_logger().warning("delete_failed", messages=len(undone), consequence="they come back")

    def back_off(self, messages: Iterable[Message]) -> None:
        """Leaves messages in the queue, to be received again after a back-off."""
        self._make_visible([(message, back_off_seconds(message.receive_count)) for message in messages])

    def release(self, messages: Iterable[Message]) -> None:
        """Gives back at once what was not started."""
        self._make_visible([(message, 0) for message in messages])

    def _make_visible(self, pairs: list[tuple[Message, int]]) -> None:
        undone = self._queue.make_visible(pairs) if pairs else []
        if undone:
            get_logger().warning(
                "release_failed",
                messages=len(undone),
                consequence="they come back after the visibility timeout",
            )

    def _copy(self, doomed: Sequence[Verdict], durable: list[Message], left: list[Message]) -> None:
        sent = self._dead_letters.send(
            [
                DeadLetter(
                    body=verdict.message.body,
                    outcome=verdict.outcome.value,
                    reason=verdict.reason,
                    source_message_id=verdict.message.message_id,
                    receive_count=verdict.message.receive_count,
                    group_id=verdict.message.group_id,
                )
                for verdict in doomed
            ]
        )
        for index, verdict in enumerate(doomed):
            if index in sent.taken:
                durable.append(verdict.message)
                continue
            left.append(verdict.message)
            get_logger().error(
                "dead_letter_failed",
                message_id=verdict.message.message_id,
                outcome=verdict.outcome.value,
                refused=index in sent.refused,
                consequence="left to the queue's own redrive"
                if index in sent.refused
                else "tried again later",
            )
        self._metrics.count(Metric.DEAD_LETTERED, len(sent.taken))

    def _is_last_receive(self, message: Message) -> bool:
        return self._max_receive_count is not None and message.receive_count >= self._max_receive_count


def log_outcome(verdict: Verdict) -> None:
    """The one line that tells an outcome: DEBUG, but WARNING where an operator should know."""
    loud = verdict.outcome in _LOUD
    if not loud and not debug_is_on():
        return
    log = get_logger()
    message, event = verdict.message, verdict.event
    fields: dict[str, object] = {
        "outcome": verdict.outcome.value,
        "event_id": (event.event_id if event else None) or message.message_id,
        "message_id": message.message_id,
        "receive_count": message.receive_count,
    }
    if event:
        fields |= {"request_id": event.request_id, "status": event.status.value}
    if verdict.reason:
        fields["reason"] = verdict.reason
    if verdict.outcome is Outcome.EXPIRED:
        fields |= {"late_seconds": verdict.late_seconds, "item_present": verdict.item_present}
    if loud:
        log.warning("event_outcome", **fields)
    else:
        log.debug("event_outcome", **fields)
