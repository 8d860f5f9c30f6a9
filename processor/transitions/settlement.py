"""Settles messages: dead-letter, delete or leave, each only after its effect is durable (law 3)."""

from collections import Counter
from collections.abc import Sequence

from handlers.transitions import DISPOSITIONS, Disposition, Outcome
from processor.dead_letters import DeadLetter, DeadLetterQueue
from processor.observability.log import debug_is_on, get_logger
from processor.observability.metrics import Metric, Metrics
from processor.transitions.event_queue import EventQueue, back_off_seconds
from processor.transitions.messages import EventResult, Message, SettlementPlan

_LOUD = frozenset({Outcome.EXPIRED, Outcome.INVALID, Outcome.CONFLICT})


class Settlement:
    """Does to messages what their results say; safe for many threads.

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

    def dead_letter(self, results: Sequence[EventResult], until: float) -> SettlementPlan:
        """Logs and counts the results and copies to the dead-letter queue what has to go there. At the last
        receive that is also what would stay in the queue: its redrive would move it without a reason.

        Args:
            results: of different messages.
            until: on `time.monotonic()`; no call begins after it.
        """
        settled = SettlementPlan()
        doomed: list[EventResult] = []
        for result in results:
            disposition = DISPOSITIONS[result.outcome]
            given_up = disposition is Disposition.LEAVE and self._is_last_receive(result.message)
            log_outcome(result, given_up=given_up)
            if given_up or disposition is Disposition.DEAD_LETTER:
                doomed.append(result)
            elif disposition is Disposition.DELETE:
                settled.durable.append(result.message)
            elif result.untried:
                settled.untried.append(result.message)
            else:
                settled.left.append(result.message)
        for outcome, count in Counter(result.outcome for result in results).items():
            self._metrics.count(Metric[outcome.name], count)
        if doomed:
            self._copy(doomed, settled, until)
        return settled

    def settle(self, settled: SettlementPlan, until: float, *, giving_back_first: bool) -> None:
        """Deletes what is durable and gives back what is not. What cannot be deleted comes back as a
        duplicate, what cannot be given back stays out of sight for the rest of its visibility timeout.

        Args:
            settled: a batch's messages.
            until: on `time.monotonic()`; no call begins after it.
            giving_back_first: for a drain's last seconds, where a silent SQS leaves time for one call.
        """
        if not giving_back_first:
            self._delete(settled.durable, until)
            self._give_back(settled, until)
        elif self._give_back(settled, until):
            self._delete(settled.durable, until)

    def _delete(self, messages: Sequence[Message], until: float) -> None:
        undone = self._queue.delete(messages, until)
        if undone:
            get_logger().warning("delete_failed", messages=len(undone), consequence="they come back")

    def _give_back(self, settled: SettlementPlan, until: float) -> bool:
        """Whether SQS answers: it took or refused something, or there was nothing to give back."""
        pairs = [(message, back_off_seconds(message.receive_count)) for message in settled.left]
        pairs += [(message, 0) for message in settled.untried]
        if not pairs:
            return True
        given_back = self._queue.make_visible(pairs, until)
        if given_back.undone:
            get_logger().warning(
                "release_failed",
                messages=len(given_back.undone),
                consequence="they come back after the visibility timeout",
            )
        return given_back.answered or len(given_back.undone) < len(pairs)

    def _copy(self, doomed: Sequence[EventResult], settled: SettlementPlan, until: float) -> None:
        sent = self._dead_letters.send(
            [
                DeadLetter(
                    body=result.message.body,
                    outcome=result.outcome.value,
                    reason=result.reason,
                    source_message_id=result.message.message_id,
                    receive_count=result.message.receive_count,
                    group_id=result.message.group_id,
                )
                for result in doomed
            ],
            until,
        )
        for index, result in enumerate(doomed):
            if index in sent.taken:
                settled.durable.append(result.message)
                continue
            settled.left.append(result.message)
            get_logger().error(
                "dead_letter_failed",
                message_id=result.message.message_id,
                outcome=result.outcome.value,
                refused=index in sent.refused,
                consequence="left to the queue's own redrive"
                if index in sent.refused
                else "tried again later",
            )
        self._metrics.count(Metric.DEAD_LETTERED, len(sent.taken))

    def _is_last_receive(self, message: Message) -> bool:
        return self._max_receive_count is not None and message.receive_count >= self._max_receive_count


def log_outcome(result: EventResult, *, given_up: bool) -> None:
    """The one line that tells an outcome: DEBUG, but WARNING where an operator should know, as for what is
    given up at its last receive."""
    loud = given_up or result.outcome in _LOUD
    if not loud and not debug_is_on():
        return
    log = get_logger()
    message, event = result.message, result.event
    fields: dict[str, object] = {
        "outcome": result.outcome.value,
        "event_id": (event.event_id if event else None) or message.message_id,
        "message_id": message.message_id,
        "receive_count": message.receive_count,
    }
    if event:
        fields |= {"request_id": event.request_id, "status": event.status.value}
    if result.reason:
        fields["reason"] = result.reason
    if result.outcome is Outcome.EXPIRED:
        fields |= {"late_seconds": result.late_seconds, "item_present": result.item_present}
    if loud:
        log.warning("event_outcome", **fields)
    else:
        log.debug("event_outcome", **fields)
