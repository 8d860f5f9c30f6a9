"""Log lines of outcomes, a few a second: what is not written is counted (docs/contract.md, section 3)."""

import threading
from collections import Counter
from collections.abc import Callable

from handlers.transitions import Outcome
from processor.observability.log import debug_is_on, get_logger
from processor.transitions.results import EventResult

LINES_A_SECOND = 10  # of one task, for each outcome
_WARNED = frozenset({Outcome.EXPIRED, Outcome.INVALID, Outcome.CONFLICT})
_SENDER_SHOWN = frozenset({Outcome.INVALID, Outcome.CONFLICT})


class OutcomeLog:
    """Writes `event_outcome` lines, at WARNING where an operator should know, else at DEBUG.

    In each second it writes at most ten lines of an outcome and counts the others; one line tells the counts.
    At DEBUG every line is written. Safe for many threads.

    Args:
        monotonic: for the seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since = monotonic()
        self._written: Counter[Outcome] = Counter()
        self._left_out: Counter[Outcome] = Counter()

    def write(self, result: EventResult, *, exhausted: bool) -> None:
        """Writes or counts the line of an outcome.

        Args:
            result: the event's result.
            exhausted: whether the message has no receive left.
        """
        is_warning = exhausted or result.outcome in _WARNED
        if not debug_is_on() and not (is_warning and self._has_room(result.outcome)):
            return
        log = get_logger()
        (log.warning if is_warning else log.debug)("event_outcome", **_fields(result))

    def flush(self, *, at_once: bool = False) -> None:
        """Writes the counts of a second that is over. To be called every second, and at the end.

        Args:
            at_once: the second counts as over.
        """
        with self._lock:
            left_out = self._next_second(at_once=at_once)
        _write(left_out)

    def _has_room(self, outcome: Outcome) -> bool:
        with self._lock:
            left_out = self._next_second()
            has_room = self._written[outcome] < LINES_A_SECOND
            (self._written if has_room else self._left_out)[outcome] += 1
        _write(left_out)
        return has_room

    def _next_second(self, *, at_once: bool = False) -> Counter[Outcome]:
        """Begins another second if this one is over; returns what was not written in it."""
        now = self._monotonic()
        if now - self._since < 1.0 and not at_once:
            return Counter()
        left_out, self._left_out = self._left_out, Counter()
        self._written.clear()
        self._since = now
        return left_out


def _write(left_out: Counter[Outcome]) -> None:
    if left_out:
        counts = {outcome.value: count for outcome, count in left_out.items()}
        get_logger().warning("event_outcomes_left_out", counts=counts)


def _fields(result: EventResult) -> dict[str, object]:
    message, event = result.message, result.event
    fields: dict[str, object] = {
        "outcome": result.outcome.value,
        "event_id": (event.event_id if event else None) or message.message_id,
        **message.log_fields(),
        "receive_count": message.receive_count,
    }
    if event:
        fields |= {"request_id": event.request_id, "status": event.status.value}
    if result.reason:
        fields["reason"] = result.reason
    if result.outcome in _SENDER_SHOWN:
        fields["sender_id"] = message.sender_id
    if result.outcome is Outcome.EXPIRED:
        fields |= {"late_seconds": result.late_seconds, "item_present": result.item_present}
    return fields
