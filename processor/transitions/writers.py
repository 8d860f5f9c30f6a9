"""How many changes reach the table: one UpdateItem each, or 25 conditional PartiQL statements a call.

UpdateItem is the definition. A batch is only a faster way to the same result: whatever it does not
report as done goes through UpdateItem.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from handlers.export import is_dead
from handlers.transitions import Change
from handlers.writes import statement
from processor.aws.calls import call
from processor.aws.errors import AwsError, Rejected, Transient
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
_MAX_FAILURES_IN_A_ROW = 3


class Writer(Protocol):
    """Writes changes of different exports."""

    def write(self, changes: Sequence[Change], deadline: float) -> list[Answer]:
        """Writes each change that can be started before the deadline, and before a drain's last seconds.

        Args:
            changes: no two of one export.
            deadline: on `time.monotonic()`.

        Returns:
            An answer for each change, in their order.
        """


class SingleWriter:
    """One UpdateItem a change."""

    def __init__(self, table: StatusTable) -> None:
        self._table = table

    def write(self, changes: Sequence[Change], deadline: float) -> list[Answer]:
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


class BatchWriter:
    """Up to 25 changes a call; the rest through UpdateItem.

    Args:
        table: the status table.
        single: for the rest.
        denied: called each time that a batch or a statement of it is not allowed.
    """

    def __init__(self, table: StatusTable, single: SingleWriter, denied: Callable[[], None]) -> None:
        self._table = table
        self._single = single
        self._denied = denied

    def write(self, changes: Sequence[Change], deadline: float) -> list[Answer]:
        """As `Writer.write`. Where batches get no answer UpdateItem tells whether the table is down."""
        answers: list[Answer | None] = []
        down: Failed | None = None
        no_batches = False
        for start in range(0, len(changes), MAX_STATEMENTS):
            chunk = changes[start : start + MAX_STATEMENTS]
            if down is None and not self._table.has_time(deadline):
                down = Failed(NotTried("BatchExecuteStatement", "OutOfTime"))
            if down or no_batches:
                answers += [down] * len(chunk)
                continue
            written, error = self._write_chunk(chunk, deadline)
            if error and not self._table.has_time(deadline):
                down = Failed(error)
                written = [answer or down for answer in written]
            no_batches = error is not None
            answers += written
        open_changes = [change for change, answer in zip(changes, answers, strict=True) if answer is None]
        settled = iter(self._single.write(open_changes, deadline))
        return [next(settled) if answer is None else answer for answer in answers]

    def _write_chunk(
        self, changes: Sequence[Change], deadline: float
    ) -> tuple[list[Answer | None], Transient | None]:
        """Answers for what the batch settled, None for what UpdateItem has to; and the error if no try of
        the batch was answered."""
        error: Transient | None = None
        answers: list[Answer | None] = []
        for attempt in range(TRIES):
            if attempt and not self._table.wait_to_try_again(attempt, deadline):
                break
            now = self._table.now()
            answers = [_late(change, now) for change in changes]
            timely = [index for index, answer in enumerate(answers) if answer is None]
            if not timely:
                return answers, None
            statements = [statement(changes[index], self._table.name, now) for index in timely]
            try:
                response = call(
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
            except Transient as transient:
                error = transient
                continue
            except AwsError as refused:
                if refused.code in ACCESS_DENIED:
                    self._denied()
                return answers, None  # refused as a whole: UpdateItem tells what is wrong
            results = response.get("Responses", [])
            if len(results) == len(timely):  # else it answers something else: UpdateItem tells
                for index, result in zip(timely, results, strict=True):
                    answers[index] = _answer(changes[index], result, now)
                if any(answers[index] is None for index in timely):
                    self._look_for_denials(results)
            return answers, None
        return answers, error

    def _look_for_denials(self, results: Sequence[Mapping[str, Any]]) -> None:
        if any(result.get("Error", {}).get("Code") in ACCESS_DENIED for result in results):
            self._denied()


def _late(change: Change, now: datetime) -> Late | None:
    return Late(change.ttl) if change.ttl is not None and is_dead(change.ttl, now) else None


def _answer(change: Change, result: Mapping[str, Any], now: datetime) -> Answer | None:
    """The answer that a statement's result proves; None where UpdateItem has to be asked."""
    error = result.get("Error")
    if not error:
        return Written()
    item = error.get("Item")
    if error.get("Code") != "ConditionalCheckFailed" or not item:
        return None
    # The statement is stricter than UpdateItem in one point: it touches no item with another fileName.
    differs = change.file_name is not None and item.get("fileName", {}).get("S") != change.file_name
    return None if differs and "fileName" in item else Refused(item, now)
