"""How many changes reach the table: one UpdateItem each, or 25 conditional PartiQL statements a call.

UpdateItem is the definition. A batch is only a faster way to the same result: whatever it does not report
as done goes through UpdateItem, unless the batch's look-up shows that UpdateItem would be refused.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from handlers.export import is_dead
from handlers.transitions import Change, would_apply
from handlers.writes import statement
from processor.aws.calls import call
from processor.aws.errors import AwsError, Rejected, Transient
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.transitions.look_up import LookUp
from processor.transitions.status_table import (
    TRIES,
    Answer,
    Failed,
    Late,
    NotTried,
    Refused,
    StatusTable,
    Written,
)

MAX_STATEMENTS = 25  # a call ("BatchExecuteStatement", DynamoDB API Reference)
ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})  # of a statement, of the call
_DUPLICATE_ITEM = "DuplicateItem"  # of an INSERT: there is an item already
_REFUSED = "ConditionalCheckFailed"  # of an UPDATE
_MAX_FAILURES_IN_A_ROW = 3


class Writer(Protocol):
    """Writes changes of different exports."""

    def write(
        self, changes: Sequence[Change], deadline: float, look_up: LookUp | None = None
    ) -> list[Answer]:
        """Writes each change that can be started before the deadline, and before a drain's last seconds.

        Args:
            changes: no two of one export.
            deadline: on `time.monotonic()`.
            look_up: of the batch that the changes come from; None if refused INSERTs are not looked up.

        Returns:
            An answer for each change, in their order.
        """


class SingleWriter:
    """One UpdateItem a change.

    Args:
        table: the status table.
    """

    def __init__(self, table: StatusTable) -> None:
        self._table = table

    def write(
        self,
        changes: Sequence[Change],
        deadline: float,
        look_up: LookUp | None = None,  # noqa: ARG002 - UpdateItem needs none
    ) -> list[Answer]:
        """As `Writer.write`. When the table is plainly down it stops trying: each try would cost seconds,
        and the messages come back."""
        answers: list[Answer] = []
        failures = 0
        stopped: Failed | None = None
        for change in changes:
            if not self._table.has_time(deadline):
                stopped = Failed(NotTried("UpdateItem", "OutOfTime"))
            answer = stopped or self._table.write(change, deadline)
            answers.append(answer)
            if stopped or not isinstance(answer, Failed) or isinstance(answer.error, Rejected):
                failures = 0
                continue
            failures += 1
            if not of_one_item(answer.error) or failures == _MAX_FAILURES_IN_A_ROW:
                stopped = answer
        return answers


def of_one_item(error: AwsError) -> bool:
    """Whether the error may concern one item alone: its partition is hot, or a transaction holds it."""
    return isinstance(error, Transient) and (error.throttled or error.code == "TransactionConflictException")


@dataclass(slots=True)
class _Written:
    """What a batch writer knows of its changes, by position."""

    answers: dict[int, Answer] = field(default_factory=dict)
    refused_inserts: list[int] = field(default_factory=list)


class BatchWriter:
    """Up to 25 changes a call; what is left over through UpdateItem.

    Args:
        table: the status table.
        single: for the rest.
        metrics: counts the changes that a batch did not settle.
        denied: called each time that a batch or a statement of it is not allowed.
    """

    def __init__(
        self, table: StatusTable, single: SingleWriter, metrics: Metrics, denied: Callable[[], None]
    ) -> None:
        self._table = table
        self._single = single
        self._metrics = metrics
        self._denied = denied
        self._warned = False

    def write(
        self, changes: Sequence[Change], deadline: float, look_up: LookUp | None = None
    ) -> list[Answer]:
        """As `Writer.write`. Where batches get no answer UpdateItem tells whether the table is down."""
        written = _Written()
        for start in range(0, len(changes), MAX_STATEMENTS):
            positions = range(start, min(start + MAX_STATEMENTS, len(changes)))
            if len(positions) == 1:
                break  # UpdateItem costs the same, and its refusal brings the item
            if not self._table.has_time(deadline):
                out_of_time = Failed(NotTried("BatchExecuteStatement", "OutOfTime"))
                written.answers |= dict.fromkeys(range(start, len(changes)), out_of_time)
                break
            error = self._write_chunk(changes, positions, written, deadline)
            if error and not self._table.has_time(deadline):
                failed = Failed(error)
                written.answers |= {
                    index: failed for index in range(start, len(changes)) if index not in written.answers
                }
            if error:
                break
        self._judge_refused_inserts(changes, written, look_up, deadline)
        left = [index for index in range(len(changes)) if index not in written.answers]
        singly = self._single.write([changes[index] for index in left], deadline)
        written.answers |= dict(zip(left, singly, strict=True))
        return [written.answers[index] for index in range(len(changes))]

    def _write_chunk(
        self, changes: Sequence[Change], positions: Sequence[int], written: _Written, deadline: float
    ) -> Transient | None:
        """Writes one call's changes; returns the error if no try was answered."""
        error: Transient | None = None
        for attempt in range(TRIES):
            if attempt and not self._table.wait_to_try_again(attempt, deadline):
                break
            now = self._table.now()
            late = {index: answer for index in positions if (answer := _late(changes[index], now))}
            written.answers |= late
            timely = [index for index in positions if index not in late]
            if not timely:
                return None
            try:
                response = self._call([changes[index] for index in timely], now)
            except Transient as transient:
                error = transient
                continue
            except AwsError as refused:
                if refused.code in ACCESS_DENIED:
                    self._denied()
                else:
                    self._warn_once({refused.code}, len(timely))
                return None  # refused as a whole: UpdateItem tells what is wrong
            results = response.get("Responses", [])
            if len(results) == len(timely):  # else the server answers something else: UpdateItem tells
                self._read(changes, timely, results, written, now)
            return None
        return error

    def _call(self, changes: Sequence[Change], now: datetime) -> Mapping[str, Any]:
        statements = [statement(change, self._table.name, now) for change in changes]
        response: Mapping[str, Any] = call(
            self._table.client.batch_execute_statement,
            Statements=[
                {
                    "Statement": each.text,
                    "Parameters": each.parameters,
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
                for each in statements
            ],
        )
        return response

    def _read(
        self,
        changes: Sequence[Change],
        positions: Sequence[int],
        results: Sequence[Mapping[str, Any]],
        written: _Written,
        now: datetime,
    ) -> None:
        codes: set[str] = set()
        for index, result in zip(positions, results, strict=True):
            code = str(result.get("Error", {}).get("Code", ""))
            answer = _answer(changes[index], result, now)
            if answer:
                written.answers[index] = answer
                continue
            codes.add(code)
            if code == _DUPLICATE_ITEM:
                written.refused_inserts.append(index)
        if codes & ACCESS_DENIED:
            self._denied()
        fell_back = [index for index in positions if index not in written.answers]
        if len(fell_back) == len(positions) and not codes & (ACCESS_DENIED | {_DUPLICATE_ITEM, _REFUSED}):
            self._warn_once(codes, len(fell_back))

    def _warn_once(self, codes: Collection[str], changes: int) -> None:
        """Reports the first batch of which nothing was written: UpdateItem will tell why, or works."""
        if not self._warned:
            self._warned = True
            get_logger().warning(
                "batch_fell_back", changes=changes, codes=sorted(codes), consequence="one UpdateItem each"
            )

    def _judge_refused_inserts(
        self, changes: Sequence[Change], written: _Written, look_up: LookUp | None, deadline: float
    ) -> None:
        """Settles INSERTs of keys that exist by one look-up, unless UpdateItem would apply them."""
        if look_up and written.refused_inserts:
            found = look_up.items([changes[index].request_id for index in written.refused_inserts], deadline)
            now = self._table.now()
            for index in written.refused_inserts:
                change = changes[index]
                item = found.get(change.request_id)
                if item is not None and not would_apply(change, item, now):
                    written.answers[index] = Refused(item, now)
        left = len(changes) - len(written.answers)
        if left and len(changes) > 1:
            self._metrics.count(Metric.WRITES_FELL_BACK, left)


def _late(change: Change, now: datetime) -> Late | None:
    return Late(change.ttl) if change.ttl is not None and is_dead(change.ttl, now) else None


def _answer(change: Change, result: Mapping[str, Any], now: datetime) -> Answer | None:
    """The answer that a statement's result proves; None where UpdateItem or a look-up has to tell."""
    error = result.get("Error")
    if not error:
        return Written()
    item = error.get("Item")
    if not item:
        return None
    if error.get("Code") == _DUPLICATE_ITEM:
        return None if would_apply(change, item, now) else Refused(item, now)
    if error.get("Code") != _REFUSED:
        return None
    # The statement is stricter than UpdateItem in one point: it touches no item with another fileName.
    differs = change.file_name is not None and item.get("fileName", {}).get("S") != change.file_name
    return None if differs and "fileName" in item else Refused(item, now)
