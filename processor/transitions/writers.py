"""How many changes reach the table: one UpdateItem each, or 25 conditional PartiQL statements a call.

UpdateItem is the definition. A batch is only a faster way to the same result: whatever it does not report
as done goes through UpdateItem, unless the batch's look-up shows that UpdateItem would be refused.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from handlers.export import is_dead
from handlers.transitions import Change, would_apply
from handlers.writes import statement
from processor.aws.calls import call
from processor.aws.errors import AwsError, Rejected, Transient
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
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
from processor.transitions.write_modes import ACCESS_DENIED, WriteMode

MAX_STATEMENTS = 25  # a call ("BatchExecuteStatement", DynamoDB API Reference)
_DUPLICATE_ITEM = "DuplicateItem"  # of an INSERT: there is an item already
_REFUSED = "ConditionalCheckFailed"  # of an UPDATE
_MAX_FAILURES_IN_A_ROW = 3
_WITH_THE_OLD_ITEM = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def of_one_item(error: AwsError) -> bool:
    """Whether the error may concern one item alone: its partition is hot, or a transaction holds it."""
    return isinstance(error, Transient) and (error.throttled or error.code == "TransactionConflictException")


@dataclass(slots=True)
class _Job:
    """The changes of one call, by position, and what is known of them."""

    changes: Sequence[Change]
    deadline: float
    answers: dict[int, Answer] = field(default_factory=dict)
    refused_inserts: list[int] = field(default_factory=list)

    def left(self, start: int = 0) -> list[int]:
        """The positions of changes without an answer."""
        return [index for index in range(start, len(self.changes)) if index not in self.answers]


class Writer:
    """Writes changes of different exports, in batches where the mode allows them; safe for many threads.

    Args:
        table: the status table.
        mode: decides whether batches are used.
    """

    def __init__(self, table: StatusTable, mode: WriteMode) -> None:
        self._table = table
        self._mode = mode
        self._warned = False

    def write(
        self, changes: Sequence[Change], deadline: float, look_up: LookUp | None = None
    ) -> list[Answer]:
        """Writes each change that can be started before the deadline, and before a drain's last seconds.

        Where batches get no answer UpdateItem tells whether the table is down.

        Args:
            changes: no two of one export.
            deadline: on `time.monotonic()`.
            look_up: of the batch that the changes come from; None if refused INSERTs are not looked up.

        Returns:
            An answer for each change, in their order.
        """
        job = _Job(changes, deadline)
        if changes and self._mode.allows_batches(deadline):
            self._write_batches(job)
            if look_up and job.refused_inserts:
                self._judge_refused_inserts(job, look_up)
            if len(changes) > 1:
                self._table.context.metrics.count(Metric.WRITES_FELL_BACK, len(job.left()))
        self._write_singly(job)
        return [job.answers[index] for index in range(len(changes))]

    def _write_singly(self, job: _Job) -> None:
        """Writes what has no answer. When the table is plainly down it stops trying: each try would cost
        seconds, and the messages come back."""
        failures = 0
        stopped: Failed | None = None
        for index in job.left():
            if not self._table.has_time(job.deadline):
                stopped = Failed(NotTried("UpdateItem", "OutOfTime"))
            answer = stopped or self._table.write(job.changes[index], job.deadline)
            job.answers[index] = answer
            if stopped or not isinstance(answer, Failed) or isinstance(answer.error, Rejected):
                failures = 0
                continue
            failures += 1
            if not of_one_item(answer.error) or failures == _MAX_FAILURES_IN_A_ROW:
                stopped = answer

    def _write_batches(self, job: _Job) -> None:
        """Writes 25 changes a call."""
        for start in range(0, len(job.changes), MAX_STATEMENTS):
            positions = range(start, min(start + MAX_STATEMENTS, len(job.changes)))
            if len(positions) == 1:
                break  # UpdateItem costs the same, and its refusal brings the item
            error: Transient | None = NotTried("BatchExecuteStatement", "OutOfTime")
            if self._table.has_time(job.deadline):
                error = self._write_chunk(job, positions)
            if error and not self._table.has_time(job.deadline):
                job.answers |= dict.fromkeys(job.left(start), Failed(error))
            if error:
                break

    def _write_chunk(self, job: _Job, positions: Sequence[int]) -> Transient | None:
        """Writes one call's changes; returns the error if no try was answered."""
        error: Transient | None = None
        for attempt in range(TRIES):
            if attempt and not self._table.wait_to_try_again(attempt, job.deadline):
                break
            now = self._table.now()
            for index in positions:
                ttl = job.changes[index].ttl
                if ttl is not None and is_dead(ttl, now):
                    job.answers[index] = Late(ttl)
            timely = [index for index in positions if index not in job.answers]
            if not timely:
                return None
            try:
                results = self._call([job.changes[index] for index in timely], now)
            except Transient as transient:
                error = transient
                continue
            except AwsError as refused:
                if refused.code in ACCESS_DENIED:
                    self._mode.denied()
                else:
                    self._warn_once({refused.code}, len(timely))
                return None  # refused as a whole: UpdateItem tells what is wrong
            if len(results) == len(timely):  # else the server answers something else: UpdateItem tells
                self._read(job, dict(zip(timely, results, strict=True)), now)
            return None
        return error

    def _call(self, changes: Sequence[Change], now: datetime) -> Sequence[Mapping[str, Any]]:
        statements = [statement(change, self._table.name, now) for change in changes]
        asked: Any = [
            {"Statement": each.text, "Parameters": each.parameters, **_WITH_THE_OLD_ITEM}
            for each in statements
        ]
        answer: Any = call(self._table.client.batch_execute_statement, Statements=asked)
        results: Sequence[Mapping[str, Any]] = answer.get("Responses", [])
        return results

    def _read(self, job: _Job, results: Mapping[int, Mapping[str, Any]], now: datetime) -> None:
        codes: dict[int, str] = {}
        for index, result in results.items():
            answer = _answer(job.changes[index], result, now)
            if answer:
                job.answers[index] = answer
            else:
                codes[index] = str(result.get("Error", {}).get("Code", ""))
        kinds = frozenset(codes.values())
        if kinds & ACCESS_DENIED:
            self._mode.denied()
        elif len(codes) == len(results) and not kinds & {_DUPLICATE_ITEM, _REFUSED}:
            self._warn_once(kinds, len(codes))
        job.refused_inserts += [index for index, code in codes.items() if code == _DUPLICATE_ITEM]

    def _warn_once(self, codes: Collection[str], changes: int) -> None:
        """Reports the first batch of which nothing was written: UpdateItem will tell why, or works."""
        if not self._warned:
            self._warned = True
            get_logger().warning(
                "batch_fell_back", changes=changes, codes=sorted(codes), consequence="one UpdateItem each"
            )

    def _judge_refused_inserts(self, job: _Job, look_up: LookUp) -> None:
        """Settles INSERTs of keys that exist by one look-up, unless UpdateItem would apply them."""
        refused = {index: job.changes[index] for index in job.refused_inserts}
        found = look_up.items([change.request_id for change in refused.values()], job.deadline)
        now = self._table.now()
        for index, change in refused.items():
            item = found.get(change.request_id)
            if item is not None and not would_apply(change, item, now):
                job.answers[index] = Refused(item, now)


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
