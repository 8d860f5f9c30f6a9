"""Applies decoded events to the table: fold, one write an export, and a verdict for each message."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from handlers.events import ExportEvent
from handlers.export import Export, MalformedItem
from handlers.transitions import (
    Outcome,
    compare,
    decide,
    expired_by_itself,
    fold,
    late_seconds,
    missing_fields,
)
from processor.aws import AwsError, Misconfigured, Rejected
from processor.log import get_logger
from processor.transitions.messages import Message, Verdict
from processor.transitions.status_table import Answer, Failed, Late, NotTried, Refused, StatusTable, Written
from processor.transitions.writers import Writer

Delivery = tuple[Message, ExportEvent]


class Applier:
    """Turns events into verdicts; safe for many threads.

    Args:
        table: for fill-ins and for what the log says of late events.
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

    def apply(self, deliveries: Iterable[Delivery], deadline: float) -> tuple[list[Verdict], AwsError | None]:
        """Applies events of any number of exports.

        Args:
            deliveries: in order of arrival.
            deadline: on `time.monotonic()`; what cannot be started by then is `retry`.

        Returns:
            A verdict for each delivery, in no particular order; and an error if polling should pause: the
            table took none of the writes, or it takes none like one of them before an operator acts.
        """
        now = self._clock()
        verdicts: list[Verdict] = []
        groups: dict[str, list[Delivery]] = {}
        for message, event in deliveries:
            if expired_by_itself(event, now=now, ttl_seconds=self._ttl_seconds):
                verdicts.append(self._expired(message, event, now, deadline))
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
                if isinstance(answer, Failed):
                    if isinstance(answer.error, Rejected):
                        verdicts.append(_rejected(group[lead], answer.error))
                        rest = group[:lead] + group[lead + 1 :]
                        if rest:  # DynamoDB refuses this event alone: the others go on without it
                            groups[rest[0][1].request_id] = rest
                        continue
                    if not isinstance(answer.error, NotTried):
                        failures.append(answer.error)
                else:
                    answered += 1
                judged, error = self._judge(group, lead, answer, deadline)
                verdicts += judged
                failures += [error] if error else []
        return verdicts, _outage(failures, answered)

    def _judge(
        self, group: Sequence[Delivery], lead: int, answer: Answer, deadline: float
    ) -> tuple[list[Verdict], AwsError | None]:
        """Every event of the export is judged by the item as the write left it, or found it; and the error
        of a fill-in, if it failed."""
        match answer:
            case Written():
                status = group[lead][1].status
                return [
                    self._verdict(
                        message,
                        event,
                        Outcome.APPLIED if index == lead else compare(event.status, status),
                        reason="status contradicts the terminal status that was recorded first",
                    )
                    for index, (message, event) in enumerate(group)
                ], None
            case Late():
                now = self._clock()
                return [self._expired(message, event, now, deadline) for message, event in group], None
            case Failed(error):
                return [_retry(message, event, error) for message, event in group], None
            case Refused():
                return self._fill_in(self._judge_refused(group, answer), answer, deadline)

    def _judge_refused(self, group: Sequence[Delivery], refused: Refused) -> list[Verdict]:
        item, now = refused.item, refused.now
        verdicts: list[Verdict] = []
        for message, event in group:
            outcome = decide(event, item, now=now, ttl_seconds=self._ttl_seconds)
            if outcome is Outcome.EXPIRED:
                late = late_seconds(event, item, now=now, ttl_seconds=self._ttl_seconds)
                verdicts.append(
                    Verdict(message, outcome, event, late_seconds=late, item_present=item is not None)
                )
            elif outcome is Outcome.APPLIED:
                # The condition is stricter than the rule: the message comes back rather than get lost.
                get_logger().error("condition_and_rule_differ", request_id=event.request_id)
                verdicts.append(Verdict(message, Outcome.RETRY, event, "the write's condition was refused"))
            else:
                verdicts.append(self._verdict(message, event, outcome, reason=_conflict_reason(refused)))
        return verdicts

    def _fill_in(
        self, verdicts: list[Verdict], refused: Refused, deadline: float
    ) -> tuple[list[Verdict], AwsError | None]:
        """Writes what repeats and late-comers know and the item lacks; their messages wait for it."""
        if refused.item is None:
            return verdicts, None
        offers = [
            missing_fields(verdict.event, verdict.outcome, refused.item) if verdict.event else {}
            for verdict in verdicts
        ]
        fields: dict[str, str] = {}
        for offer in offers:
            fields = offer | fields  # the first to arrive stands
        if not fields:
            return verdicts, None
        event = next(verdict.event for verdict in verdicts if verdict.event)
        if self._table.has_time(deadline):
            error = self._table.fill_in(event.request_id, fields)
        else:
            error = NotTried("UpdateItem", "OutOfTime")
        if error is None:
            return verdicts, None
        return [
            _failed_fill_in(verdict, error) if offer else verdict
            for verdict, offer in zip(verdicts, offers, strict=True)
        ], error

    def _verdict(self, message: Message, event: ExportEvent, outcome: Outcome, *, reason: str) -> Verdict:
        if outcome is Outcome.CONFLICT:
            return Verdict(message, outcome, event, reason)
        if outcome is Outcome.EARLY:
            return Verdict(message, outcome, event, "createdAt is missing and no item exists yet")
        return Verdict(message, outcome, event)

    def _expired(self, message: Message, event: ExportEvent, now: datetime, deadline: float) -> Verdict:
        present = self._table.has_item(event.request_id) if self._table.has_time(deadline) else None
        late = late_seconds(event, None, now=now, ttl_seconds=self._ttl_seconds)
        return Verdict(message, Outcome.EXPIRED, event, late_seconds=late, item_present=present)


def _outage(failures: Sequence[AwsError], answered: int) -> AwsError | None:
    for error in failures:
        if isinstance(error, Misconfigured):
            return error
    return failures[0] if failures and not answered else None


def _rejected(delivery: Delivery, error: AwsError) -> Verdict:
    message, event = delivery
    return Verdict(message, Outcome.INVALID, event, f"the item must be one that DynamoDB takes ({error})")


def _retry(message: Message, event: ExportEvent, error: AwsError) -> Verdict:
    return Verdict(message, Outcome.RETRY, event, f"the table did not answer the write ({error})")


def _failed_fill_in(verdict: Verdict, error: AwsError) -> Verdict:
    event = verdict.event
    if event is None or isinstance(error, Rejected):
        return Verdict(
            verdict.message, Outcome.INVALID, event, f"the item must be one that DynamoDB takes ({error})"
        )
    return _retry(verdict.message, event, error)


def _conflict_reason(refused: Refused) -> str:
    try:
        Export.from_item(refused.item or {})
    except MalformedItem as broken:
        return f"the stored item is not one of ours: {broken}"
    return "status contradicts the terminal status that was recorded first"
