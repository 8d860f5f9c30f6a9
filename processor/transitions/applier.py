"""Applies events to the table: fold, one conditional write an export, a result for each message."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from handlers.events import ExportEvent
from handlers.transitions import (
    Outcome,
    compare,
    decide,
    expired_by_itself,
    fold,
    late_seconds,
    missing_fields,
    seconds_past,
)
from processor.aws.errors import AwsError, Misconfigured, NotFound, Rejected, Transient
from processor.observability.log import get_logger
from processor.transitions.look_up import LookUp
from processor.transitions.messages import Message
from processor.transitions.results import (
    CONTRADICTION,
    EventResult,
    conflict_reason,
    fill_in_failed,
    judged,
    rejected,
    retry,
)
from processor.transitions.status_table import (
    Answer,
    Failed,
    Late,
    NotTried,
    Refused,
    StatusTable,
    Unexplained,
)
from processor.transitions.writers import Writer, of_one_item


class Delivery(NamedTuple):
    """A message with the event that its body holds."""

    message: Message
    event: ExportEvent


class LateDelivery(NamedTuple):
    """A delivery that came so many seconds after its export's end."""

    message: Message
    event: ExportEvent
    seconds: float


class Applied(NamedTuple):
    """What became of a batch.

    Attributes:
        results: one for each delivery, in no particular order.
        outage: set if polling should pause: the table took none of the writes, or it takes no write like one
            of them before an operator acts.
    """

    results: list[EventResult]
    outage: AwsError | None


@dataclass(slots=True)
class _Work:
    """One batch between its steps."""

    groups: list[list[Delivery]]  # of one export each, still to be written
    late: list[LateDelivery]
    results: list[EventResult] = field(default_factory=list)
    failures: list[AwsError] = field(default_factory=list)
    answered: int = 0  # writes that the table took or refused


class Applier:
    """Turns events into results; safe for many threads.

    Args:
        table: for fill-ins, probes and look-ups.
        writer: for the changes.
        now: our clock.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
        explain: tells whether a refusal is the item's own; see `Refusals.explain`.
    """

    def __init__(
        self,
        table: StatusTable,
        writer: Writer,
        now: Callable[[], datetime],
        ttl_seconds: int,
        explain: Callable[[AwsError], AwsError] = lambda error: error,
    ) -> None:
        self._table = table
        self._writer = writer
        self._now = now
        self._ttl_seconds = ttl_seconds
        self._explain = explain

    def look_up(self, *, late_too: bool) -> LookUp:
        """The look-up of one batch; see `LookUp`."""
        return LookUp(self._table, late_too=late_too)

    def apply(
        self, deliveries: Iterable[Delivery], deadline: float, look_up: LookUp | None = None
    ) -> Applied:
        """Applies events of any number of exports.

        Args:
            deliveries: in order of arrival.
            deadline: on `time.monotonic()`; no call begins after it, and what was not tried is `retry`.
            look_up: of the batch that they are a part of; a new one if left out.
        """
        look_up = look_up or self.look_up(late_too=True)
        work = self._sort(deliveries)
        look_up.add_late([event.request_id for _, event, _ in work.late])
        while work.groups:
            self._write(work, look_up, deadline)
        # Writes come first: looking up is for the log only, and a silent table would use up the time.
        self._look_up_late(work, look_up, deadline)
        return Applied(work.results, self._outage_of(work, deadline))

    def _sort(self, deliveries: Iterable[Delivery]) -> _Work:
        """Groups events by export; those that have expired by themselves need no write."""
        now = self._now()
        late: list[LateDelivery] = []
        groups: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            message, event = delivery
            if expired_by_itself(event, now=now, ttl_seconds=self._ttl_seconds):
                seconds = late_seconds(event, None, now=now, ttl_seconds=self._ttl_seconds)
                late.append(LateDelivery(message, event, seconds))
            else:
                groups.setdefault(event.request_id, []).append(delivery)
        return _Work(list(groups.values()), late)

    def _write(self, work: _Work, look_up: LookUp, deadline: float) -> None:
        """Folds and writes each group once. What remains of a group whose leading event is refused for its
        content is a group again."""
        groups, work.groups = work.groups, []
        folds = [fold([event for _, event in group], self._ttl_seconds) for group in groups]
        answers = self._writer.write([change for _, change in folds], deadline, look_up)
        for group, (lead, _), answer in zip(groups, folds, answers, strict=True):
            if isinstance(answer, Failed):
                answer = Failed(self._explain(answer.error))  # noqa: PLW2901 - the same answer, explained
            self._judge(work, group, lead, answer, deadline)

    def _judge(
        self, work: _Work, group: Sequence[Delivery], lead: int, answer: Answer, deadline: float
    ) -> None:
        """Judges every event of an export by the item as the write left it, or found it."""
        match answer:
            case Late(ttl):
                seconds = seconds_past(ttl, self._now())
                work.late += [LateDelivery(*delivery, seconds) for delivery in group]
            case Failed(Rejected() as error):
                work.results.append(rejected(*group[lead], error))
                rest = [*group[:lead], *group[lead + 1 :]]
                work.groups += [rest] if rest else []
            case Failed(error):
                work.results += [retry(*delivery, error) for delivery in group]
                work.failures.append(error)
            case Refused():
                work.answered += 1
                self._fill_in(work, self._judge_refused(group, answer), answer, deadline)
            case _:
                work.answered += 1
                status = group[lead].event.status
                for index, (message, event) in enumerate(group):
                    outcome = Outcome.APPLIED if index == lead else compare(event.status, status)
                    work.results.append(judged(message, event, outcome, conflict=CONTRADICTION))

    def _judge_refused(self, group: Sequence[Delivery], refused: Refused) -> list[EventResult]:
        item, now = refused.item, refused.now
        results: list[EventResult] = []
        for message, event in group:
            outcome = decide(event, item, now=now, ttl_seconds=self._ttl_seconds)
            if outcome is Outcome.EXPIRED:
                late = late_seconds(event, item, now=now, ttl_seconds=self._ttl_seconds)
                results.append(
                    EventResult(message, outcome, event, late_seconds=late, item_present=item is not None)
                )
            elif outcome is Outcome.APPLIED:
                # The condition is stricter than the rule: the message comes back rather than get lost.
                get_logger().error(
                    "condition_and_rule_differ", request_id=event.request_id, **message.log_fields()
                )
                reason = "the write's condition was refused"
                results.append(EventResult(message, Outcome.RETRY, event, reason))
            else:
                results.append(judged(message, event, outcome, conflict=conflict_reason(item)))
        return results

    def _fill_in(self, work: _Work, results: list[EventResult], refused: Refused, deadline: float) -> None:
        """Writes what duplicate and stale events know and the item lacks; their messages wait for it."""
        if refused.item is None:
            work.results += results
            return
        offers = [
            missing_fields(result.event, result.outcome, refused.item) if result.event else {}
            for result in results
        ]
        fields: dict[str, str] = {}
        for offer in offers:
            fields = offer | fields  # the first to arrive stands
        error: AwsError | None = None
        if fields:
            request_id = next(result.event.request_id for result in results if result.event)
            if self._table.has_time(deadline):
                failed = self._table.fill_in(request_id, fields, deadline)
                error = self._explain(failed) if failed else None
            else:
                error = NotTried("UpdateItem", "OutOfTime")
        if error:
            work.failures.append(error)
            results = [
                fill_in_failed(result, error) if offer else result
                for result, offer in zip(results, offers, strict=True)
            ]
        work.results += results

    def _look_up_late(self, work: _Work, look_up: LookUp, deadline: float) -> None:
        """Adds the results of late events. A missing permission to read is no outage: writes may work."""
        present: Mapping[str, bool] = {}
        look_up.add_late([event.request_id for _, event, _ in work.late])
        if _outage(work) is None:
            present = look_up.presence(deadline)
        for message, event, seconds in work.late:
            there = present.get(event.request_id)
            work.results.append(
                EventResult(message, Outcome.EXPIRED, event, late_seconds=seconds, item_present=there)
            )
        if isinstance(look_up.error, Transient | NotFound):
            work.failures.append(look_up.error)

    def _outage_of(self, work: _Work, deadline: float) -> AwsError | None:
        """The error for which polling should pause.

        One export alone that is throttled or in a conflict is no outage: on FIFO a wave may hold no other.
        Then a write of another key tells.
        """
        outage = _outage(work)
        if outage is None or not of_one_item(outage) or _tried(work) != [outage]:
            return outage
        if self._table.has_time(deadline):
            try:
                self._table.probe()
            except AwsError as error:
                return error
        return None


def _outage(work: _Work) -> AwsError | None:
    tried = _tried(work)
    for error in tried:
        if isinstance(error, Misconfigured):
            return error
    return tried[0] if tried and not work.answered else None


def _tried(work: _Work) -> list[AwsError]:
    return [error for error in work.failures if not isinstance(error, NotTried | Unexplained)]
