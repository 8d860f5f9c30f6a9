"""Applies decoded events to the table: fold, one write an export, and a result for each message."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

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
from processor.aws.errors import AwsError, Misconfigured, NotFound, Rejected
from processor.observability.log import get_logger
from processor.transitions.messages import EventResult, Message
from processor.transitions.results import conflict_reason, fill_in_failed, rejected, retry
from processor.transitions.status_table import Failed, Late, NotTried, Refused, StatusTable, Written
from processor.transitions.writers import Writer, of_one_item

Delivery = tuple[Message, ExportEvent]
LateDelivery = tuple[Message, ExportEvent, float]  # with how many seconds it came after the export's end


class Applier:
    """Turns events into results; safe for many threads.

    Args:
        table: for fill-ins, probes and what the log says of late events.
        writer: for the changes.
        clock: our clock.
        ttl_seconds: EXPORT_STATUS_TTL_SECONDS.
    """

    def __init__(
        self, table: StatusTable, writer: Writer, clock: Callable[[], datetime], ttl_seconds: int
    ) -> None:
        self._table = table
        self._writer = writer
        self._clock = clock
        self._ttl_seconds = ttl_seconds

    def apply(
        self, deliveries: Iterable[Delivery], deadline: float
    ) -> tuple[list[EventResult], AwsError | None]:
        """Applies events of any number of exports.

        Args:
            deliveries: in order of arrival.
            deadline: on `time.monotonic()`; no call begins after it, and what was not tried is `retry`.

        Returns:
            A result for each delivery, in no particular order; and an error if polling should pause: the
            table took none of the writes, or it takes none like one of them before an operator acts.
        """
        now = self._clock()
        results: list[EventResult] = []
        late: list[LateDelivery] = []
        groups: dict[str, list[Delivery]] = {}
        for message, event in deliveries:
            if expired_by_itself(event, now=now, ttl_seconds=self._ttl_seconds):
                seconds = late_seconds(event, None, now=now, ttl_seconds=self._ttl_seconds)
                late.append((message, event, seconds))
            else:
                groups.setdefault(event.request_id, []).append((message, event))
        failures: list[AwsError] = []
        answered = 0
        while groups:
            members = list(groups.values())
            groups = {}
            folds = [fold([event for _, event in group], self._ttl_seconds) for group in members]
            answers = self._writer.write([change for _, change in folds], deadline)
            for group, (lead, _), answer in zip(members, folds, answers, strict=True):
                if isinstance(answer, Late):
                    seconds = seconds_past(answer.ttl, self._clock())
                    late += [(message, event, seconds) for message, event in group]
                    continue
                if isinstance(answer, Failed):
                    if isinstance(answer.error, Rejected):
                        results.append(rejected(*group[lead], answer.error))
                        rest = group[:lead] + group[lead + 1 :]
                        if rest:  # DynamoDB refuses this event alone: the others go on without it
                            groups[rest[0][1].request_id] = rest
                        continue
                    failures.append(answer.error)
                else:
                    answered += 1
                judged, error = self._judge(group, lead, answer, deadline)
                results += judged
                failures += [error] if error else []
        if late:
            # Writes come first: looking up is for the log only, and a silent table would use up the time.
            told, error = self._expired(late, deadline, ask=_outage(failures, answered) is None)
            results += told
            failures += [error] if error else []
        outage = _outage(failures, answered)
        if outage and of_one_item(outage) and _tried(failures) == [outage]:
            outage = self._outage_elsewhere(deadline)
        return results, outage

    def _outage_elsewhere(self, deadline: float) -> AwsError | None:
        """What a write of another key fails for, if it does. One export alone was throttled or in a conflict:
        on FIFO a step may hold no other, and its item's trouble is not the table's."""
        if not self._table.has_time(deadline):
            return None
        try:
            self._table.probe()
        except AwsError as error:
            return error
        return None

    def _judge(
        self, group: Sequence[Delivery], lead: int, answer: Written | Refused | Failed, deadline: float
    ) -> tuple[list[EventResult], AwsError | None]:
        """Every event of the export is judged by the item as the write left it, or found it; and the error
        of a fill-in, if it failed."""
        match answer:
            case Written():
                status = group[lead][1].status
                return [
                    self._result(
                        message,
                        event,
                        Outcome.APPLIED if index == lead else compare(event.status, status),
                        reason="status contradicts the terminal status that was recorded first",
                    )
                    for index, (message, event) in enumerate(group)
                ], None
            case Refused():
                return self._fill_in(self._judge_refused(group, answer), answer, deadline)
            case Failed(error):
                return [retry(message, event, error) for message, event in group], None

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
                get_logger().error("condition_and_rule_differ", request_id=event.request_id)
                results.append(
                    EventResult(message, Outcome.RETRY, event, "the write's condition was refused")
                )
            else:
                results.append(self._result(message, event, outcome, reason=conflict_reason(refused.item)))
        return results

    def _fill_in(
        self, results: list[EventResult], refused: Refused, deadline: float
    ) -> tuple[list[EventResult], AwsError | None]:
        """Writes what repeats and late-comers know and the item lacks; their messages wait for it."""
        if refused.item is None:
            return results, None
        offers = [
            missing_fields(result.event, result.outcome, refused.item) if result.event else {}
            for result in results
        ]
        fields: dict[str, str] = {}
        for offer in offers:
            fields = offer | fields  # the first to arrive stands
        if not fields:
            return results, None
        event = next(result.event for result in results if result.event)
        if self._table.has_time(deadline):
            error = self._table.fill_in(event.request_id, fields, deadline)
        else:
            error = NotTried("UpdateItem", "OutOfTime")
        if error is None:
            return results, None
        return [
            fill_in_failed(result, error) if offer else result
            for result, offer in zip(results, offers, strict=True)
        ], error

    def _result(self, message: Message, event: ExportEvent, outcome: Outcome, *, reason: str) -> EventResult:
        if outcome is Outcome.CONFLICT:
            return EventResult(message, outcome, event, reason)
        if outcome is Outcome.EARLY:
            return EventResult(message, outcome, event, "createdAt is missing and no item exists yet")
        return EventResult(message, outcome, event)

    def _expired(
        self, late: Sequence[LateDelivery], deadline: float, *, ask: bool
    ) -> tuple[list[EventResult], AwsError | None]:
        """Results that tell whether an item was there, as long as the table says so; and what it said last,
        if that speaks of an outage. Not being allowed to read does not: writes may work."""
        results: list[EventResult] = []
        error: AwsError | None = None
        for message, event, seconds in late:
            present = None
            if ask and error is None and self._table.has_time(deadline):
                try:
                    present = self._table.has_item(event.request_id)
                except Rejected:
                    present = None  # this key alone is none for DynamoDB: the others can be looked for
                except AwsError as failed:
                    error = failed
            results.append(
                EventResult(message, Outcome.EXPIRED, event, late_seconds=seconds, item_present=present)
            )
        only_reading = isinstance(error, Misconfigured) and not isinstance(error, NotFound)
        return results, None if only_reading else error


def _outage(failures: Sequence[AwsError], answered: int) -> AwsError | None:
    tried = _tried(failures)
    for error in tried:
        if isinstance(error, Misconfigured):
            return error
    return tried[0] if tried and not answered else None


def _tried(failures: Sequence[AwsError]) -> list[AwsError]:
    return [error for error in failures if not isinstance(error, NotTried)]
