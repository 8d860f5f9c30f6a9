"""Settles messages: dead-letter, delete or leave, each only after its effect is durable (law 3)."""

from collections import Counter
from collections.abc import Sequence

from handlers.transitions import DISPOSALS, Disposal, Outcome
from processor.dead_letters import DeadLetter, DeadLetterQueue
from processor.observability.log import debug_is_on, get_logger
from processor.observability.metrics import Metric, Metrics
from processor.transitions.event_queue import EventQueue, back_off_seconds
from processor.transitions.messages import Message, Settled, Verdict

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

    def dead_letter(self, verdicts: Sequence[Verdict], until: float) -> Settled:
        """Logs and counts the verdicts and copies to the dead-letter queue what has to go there. At the last
        receive that is also what would stay in the queue: its redrive would move it without a reason.

        Args:
            verdicts: of different messages.
            until: on `time.monotonic()`; no call begins after it.
        """
        settled = Settled()
        doomed: list[Verdict] = []
        for verdict in verdicts:
            disposal = DISPOSALS[verdict.outcome]
            given_up = disposal is Disposal.LEAVE and self._is_last_receive(verdict.message)
            log_outcome(verdict, given_up=given_up)
            if given_up or disposal is Disposal.DEAD_LETTER:
                doomed.append(verdict)
            elif disposal is Disposal.DELETE:
                settled.durable.append(verdict.message)
            elif verdict.untried:
                settled.untried.append(verdict.message)
            else:
                settled.left.append(verdict.message)
        for outcome, count in Counter(verdict.outcome for verdict in verdicts).items():
            self._metrics.count(Metric[outcome.name], count)
        if doomed:
            self._copy(doomed, settled, until)
        return settled

    def settle(self, settled: Settled, until: float, *, giving_back_first: bool) -> None:
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

    def _give_back(self, settled: Settled, until: float) -> bool:
        """Whether SQS answers: it took or refused something, or there was nothing to give back."""
        pairs = [(message, back_off_seconds(message.receive_count)) for message in settled.left]
        pairs += [(message, 0) for message in settled.untried]
        if not pairs:
            return True
        undone, answered = self._queue.make_visible(pairs, until)
        if undone:
            get_logger().warning(
                "release_failed",
                messages=len(undone),
                consequence="they come back after the visibility timeout",
            )
        return answered or len(undone) < len(pairs)

    def _copy(self, doomed: Sequence[Verdict], settled: Settled, until: float) -> None:
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
            ],
            until,
        )
        for index, verdict in enumerate(doomed):
            if index in sent.taken:
                settled.durable.append(verdict.message)
                continue
            settled.left.append(verdict.message)
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


def log_outcome(verdict: Verdict, *, given_up: bool) -> None:
    """The one line that tells an outcome: DEBUG, but WARNING where an operator should know, as for what is
    given up at its last receive."""
    loud = given_up or verdict.outcome in _LOUD
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
