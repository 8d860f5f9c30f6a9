"""Applies events to the table: fold, one conditional write an export, a result for each message."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from handlers.events import ExportEvent
from handlers.export import Export, Item, MalformedItem
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
from processor.transitions.results import EventResult, failed
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

_CONTRADICTION = "status contradicts the terminal status that was recorded first"


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

    groups: list[list[Delivery]] = field(default_factory=list)  # of one export each, still to be written
    late: list[LateDelivery] = field(default_factory=list)
    results: list[EventResult] = field(default_factory=list)
    failures: list[AwsError] = field(default_factory=list)
    answered: int = 0  # writes that the table took or refused

    @property
    def tried(self) -> list[AwsError]:
        """The failures of writes that were begun, and for which the item is not at fault."""
        return [error for error in self.failures if not isinstance(error, NotTried | Unexplained)]

    @property
    def outage(self) -> AwsError | None:
        """The error that shows the table down."""
        tried = self.tried
        lasting = next((error for error in tried if isinstance(error, Misconfigured)), None)
        return lasting or (tried[0] if tried and not self.answered else None)


class Applier:
    """Turns events into results; safe for many threads.

    Args:
        table: for fill-ins, probes and look-ups.
        writer: for the changes.
        explain: tells whether a refusal is the item's own; see `Refusals.explain`.
    """

    def __init__(
        self,
        table: StatusTable,
        writer: Writer,
        explain: Callable[[AwsError], AwsError] = lambda error: error,
    ) -> None:
        self._table = table
        self._writer = writer
        self._ttl_seconds = table.context.settings.ttl_seconds
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
        look_up.add_late(event.request_id for _, event, _ in work.late)
        while work.groups:
            self._write(work, look_up, deadline)
        # Writes come first: looking up is for the log only, and a silent table would use up the time.
        self._look_up_late(work, look_up, deadline)
        return Applied(work.results, self._outage_of(work, deadline))

    def _sort(self, deliveries: Iterable[Delivery]) -> _Work:
        """Groups events by export; those that have expired by themselves need no write."""
        now = self._table.now()
        work = _Work()
        groups: dict[str, list[Delivery]] = {}
        for message, event in deliveries:
            if expired_by_itself(event, now=now, ttl_seconds=self._ttl_seconds):
                late = late_seconds(event, None, now=now, ttl_seconds=self._ttl_seconds)
                work.late.append(LateDelivery(message, event, late))
            else:
                groups.setdefault(event.request_id, []).append(Delivery(message, event))
        work.groups = [*groups.values()]
        return work

    def _write(self, work: _Work, look_up: LookUp, deadline: float) -> None:
        """Folds and writes each group once. What remains of a group whose leading event is refused for its
        content is a group again."""
        groups, work.groups = work.groups, []
        folds = [fold([event for _, event in group], self._ttl_seconds) for group in groups]
        answers = self._writer.write([change for _, change in folds], deadline, look_up)
        for group, (lead, _), answer in zip(groups, folds, answers, strict=True):
            self._judge(work, group, lead, answer, deadline)

    def _judge(
        self, work: _Work, group: Sequence[Delivery], lead: int, answer: Answer, deadline: float
    ) -> None:
        """Judges every event of an export by the item as the write left it, or found it."""
        match answer:
            case Late(ttl):
                seconds = seconds_past(ttl, self._table.now())
                work.late += [LateDelivery(*delivery, seconds) for delivery in group]
            case Failed(error):
                error = self._explain(error)
                if isinstance(error, Rejected):
                    work.results.append(failed(*group[lead], error))
                    rest = [*group[:lead], *group[lead + 1 :]]
                    work.groups += [rest] if rest else []
                else:
                    work.results += [failed(*delivery, error) for delivery in group]
                    work.failures.append(error)
            case Refused():
                work.answered += 1
                results = [self._judge_refused(*delivery, answer) for delivery in group]
                self._fill_in(work, results, answer, deadline)
            case _:
                work.answered += 1
                status = group[lead].event.status
                for index, (message, event) in enumerate(group):
                    outcome = Outcome.APPLIED if index == lead else compare(event.status, status)
                    reason = _CONTRADICTION if outcome is Outcome.CONFLICT else ""
                    work.results.append(EventResult(message, outcome, event, reason))

    def _judge_refused(self, message: Message, event: ExportEvent, refused: Refused) -> EventResult:
        item, now = refused.item, refused.now
        result = EventResult(message, decide(event, item, now=now, ttl_seconds=self._ttl_seconds), event)
        match result.outcome:
            case Outcome.EXPIRED:
                late = late_seconds(event, item, now=now, ttl_seconds=self._ttl_seconds)
                return replace(result, late_seconds=late, item_present=item is not None)
            case Outcome.APPLIED:
                # The condition is stricter than the rule: the message comes back rather than get lost.
                get_logger().error(
                    "condition_and_rule_differ", request_id=event.request_id, **message.log_fields()
                )
                return replace(result, outcome=Outcome.RETRY, reason="the write's condition was refused")
            case Outcome.CONFLICT:
                return replace(result, reason=_conflict_reason(item))
            case Outcome.EARLY:
                return replace(result, reason="createdAt is missing and no item exists yet")
            case _:
                return result

    def _fill_in(self, work: _Work, results: list[EventResult], refused: Refused, deadline: float) -> None:
        """Writes what duplicate and stale events know and the item lacks; their messages wait for it."""
        offers = [
            missing_fields(result.event, result.outcome, refused.item)
            if result.event and refused.item is not None
            else {}
            for result in results
        ]
        fields: dict[str, str] = {}
        for offer in offers:
            fields = offer | fields  # the first to arrive stands
        error: AwsError | None = None
        if fields:
            request_id = next(result.event.request_id for result in results if result.event)
            error = NotTried("UpdateItem", "OutOfTime")
            if self._table.has_time(deadline):
                error = self._table.fill_in(request_id, fields, deadline)
        if error:
            error = self._explain(error)
            work.failures.append(error)
            results = [
                failed(result.message, result.event, error) if offer else result
                for result, offer in zip(results, offers, strict=True)
            ]
        work.results += results

    def _look_up_late(self, work: _Work, look_up: LookUp, deadline: float) -> None:
        """Adds the results of late events. A missing permission to read is no outage: writes may work."""
        look_up.add_late(event.request_id for _, event, _ in work.late)
        present: Mapping[str, bool] = {} if work.outage else look_up.presence(deadline)
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
        outage = work.outage
        if outage is None or not of_one_item(outage) or work.tried != [outage]:
            return outage
        if self._table.has_time(deadline):
            try:
                self._table.probe()
            except AwsError as error:
                return error
        return None


def _conflict_reason(item: Item | None) -> str:
    """Why an event contradicts the stored item."""
    try:
        Export.from_item(item or {})
    except MalformedItem as broken:
        return f"the stored item is not one of ours: {broken}"
    return _CONTRADICTION
