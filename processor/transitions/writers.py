"""How many changes reach the table: one UpdateItem each, or 25 conditional PartiQL statements a call.

UpdateItem is the definition. A batch is only a faster way to the same result: whatever it does not report
as done goes through UpdateItem, unless the batch's look-up shows that UpdateItem would be refused.
"""

from collections.abc import Collection, Mapping, Sequence
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


def of_one_item(error: AwsError) -> bool:
    """Whether the error may concern one item alone: its partition is hot, or a transaction holds it."""
    return isinstance(error, Transient) and (error.throttled or error.code == "TransactionConflictException")


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
        answers: dict[int, Answer] = {}
        if changes and self._mode.allows_batches(deadline):
            refused_inserts = self._write_batches(changes, answers, deadline)
            if look_up and refused_inserts:
                self._judge_refused_inserts(changes, refused_inserts, answers, look_up, deadline)
            left = len(changes) - len(answers)
            if left and len(changes) > 1:
                self._table.context.metrics.count(Metric.WRITES_FELL_BACK, left)
        self._write_singly(changes, answers, deadline)
        return [answers[index] for index in range(len(changes))]

    def _write_singly(self, changes: Sequence[Change], answers: dict[int, Answer], deadline: float) -> None:
        """Writes what has no answer. When the table is plainly down it stops trying: each try would cost
        seconds, and the messages come back."""
        failures = 0
        stopped: Failed | None = None
        for index, change in enumerate(changes):
            if index in answers:
                continue
            if not self._table.has_time(deadline):
                stopped = Failed(NotTried("UpdateItem", "OutOfTime"))
            answer = stopped or self._table.write(change, deadline)
            answers[index] = answer
            if stopped or not isinstance(answer, Failed) or isinstance(answer.error, Rejected):
                failures = 0
                continue
            failures += 1
            if not of_one_item(answer.error) or failures == _MAX_FAILURES_IN_A_ROW:
                stopped = answer

    def _write_batches(
        self, changes: Sequence[Change], answers: dict[int, Answer], deadline: float
    ) -> list[int]:
        """Writes 25 changes a call; returns the positions of INSERTs whose key exists."""
        refused_inserts: list[int] = []
        for start in range(0, len(changes), MAX_STATEMENTS):
            positions = range(start, min(start + MAX_STATEMENTS, len(changes)))
            if len(positions) == 1:
                break  # UpdateItem costs the same, and its refusal brings the item
            error: Transient | None = NotTried("BatchExecuteStatement", "OutOfTime")
            if self._table.has_time(deadline):
                error = self._write_chunk(changes, positions, answers, refused_inserts, deadline)
            if error and not self._table.has_time(deadline):
                left = [index for index in range(start, len(changes)) if index not in answers]
                answers |= dict.fromkeys(left, Failed(error))
            if error:
                break
        return refused_inserts

    def _write_chunk(
        self,
        changes: Sequence[Change],
        positions: Sequence[int],
        answers: dict[int, Answer],
        refused_inserts: list[int],
        deadline: float,
    ) -> Transient | None:
        """Writes one call's changes; returns the error if no try was answered."""
        error: Transient | None = None
        for attempt in range(TRIES):
            if attempt and not self._table.wait_to_try_again(attempt, deadline):
                break
            now = self._table.now()
            late = {index: answer for index in positions if (answer := _late(changes[index], now))}
            answers |= late
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
                    self._mode.denied()
                else:
                    self._warn_once({refused.code}, len(timely))
                return None  # refused as a whole: UpdateItem tells what is wrong
            results = response.get("Responses", [])
            if len(results) == len(timely):  # else the server answers something else: UpdateItem tells
                refused_inserts += self._read(changes, timely, results, answers, now)
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
        answers: dict[int, Answer],
        now: datetime,
    ) -> list[int]:
        """Reads the statements' results; returns the positions of INSERTs whose key exists."""
        codes: dict[int, str] = {}
        for index, result in zip(positions, results, strict=True):
            answer = _answer(changes[index], result, now)
            if answer:
                answers[index] = answer
            else:
                codes[index] = str(result.get("Error", {}).get("Code", ""))
        kinds = frozenset(codes.values())
        if kinds & ACCESS_DENIED:
            self._mode.denied()
        elif len(codes) == len(positions) and not kinds & {_DUPLICATE_ITEM, _REFUSED}:
            self._warn_once(kinds, len(codes))
        return [index for index, code in codes.items() if code == _DUPLICATE_ITEM]

    def _warn_once(self, codes: Collection[str], changes: int) -> None:
        """Reports the first batch of which nothing was written: UpdateItem will tell why, or works."""
        if not self._warned:
            self._warned = True
            get_logger().warning(
                "batch_fell_back", changes=changes, codes=sorted(codes), consequence="one UpdateItem each"
            )

    def _judge_refused_inserts(
        self,
        changes: Sequence[Change],
        positions: Sequence[int],
        answers: dict[int, Answer],
        look_up: LookUp,
        deadline: float,
    ) -> None:
        """Settles INSERTs of keys that exist by one look-up, unless UpdateItem would apply them."""
        found = look_up.items([changes[index].request_id for index in positions], deadline)
        now = self._table.now()
        for index in positions:
            change = changes[index]
            item = found.get(change.request_id)
            if item is not None and not would_apply(change, item, now):
                answers[index] = Refused(item, now)


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
