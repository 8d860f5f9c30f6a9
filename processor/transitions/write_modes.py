"""EXPORT_WRITE_MODE: whether changes are written in batches, and the proof that `auto` wants before."""

import threading
from collections.abc import Sequence
from typing import Any

from handlers.writes import Statement, proof_insert, proof_updates
from processor.aws.calls import call
from processor.aws.errors import AwsError, Rejected, Transient
from processor.backoff import full_delay_seconds
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
from processor.transitions.status_table import StatusTable, absent_key

ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})  # of a statement, of the call
FIRST_PAUSE_SECONDS = 5.0  # after a proof without an answer, then doubled
MAX_PAUSE_SECONDS = 300.0  # likewise, and after an answer that speaks against batches
# A statement's error codes that tell nothing about how the server does batches, without their suffix.
_NO_ANSWERS = frozenset(
    {
        "Throttling",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "InternalServerError",
        "TransactionConflict",
    }
)
_MISSING = "a permission is missing: dynamodb:PartiQLInsert and dynamodb:PartiQLUpdate are needed"
_SINGLE = "one UpdateItem an event"


class WriteMode:
    """Whether batches are used: always, never, or once the server has proved that it does them right.

    The proof: each UPDATE text in use is tried on an absent key and must be refused, then an INSERT with an
    empty key must be refused. It is repeated where it failed: after growing pauses where the server did not
    answer, after five minutes where it answered wrong or refused. So a permission that comes late counts.

    Args:
        mode: `auto`, `batch` or `single`.
        table: the status table.

    Attributes:
        in_batches: whether changes are written in batches.
    """

    def __init__(self, mode: str, table: StatusTable) -> None:
        self.in_batches = mode == "batch"
        self._is_auto = mode == "auto"
        self._table = table
        self._context = table.context
        self._asking = threading.Lock()
        self._unanswered = 0
        self._ask_at = self._context.clocks.monotonic()
        self._problem: str | None = None
        self._context.metrics.gauge(Metric.BATCH_WRITES, int(self.in_batches))

    def allows_batches(self, deadline: float) -> bool:
        """Whether the next changes are to be written in batches. Asks for the proof when that is due.

        Args:
            deadline: on `time.monotonic()`; the server is not asked after it.
        """
        due = self._is_auto and not self.in_batches and self._table.has_time(deadline)
        if due and self._asking.acquire(blocking=False):
            try:
                if not self.in_batches and self._context.clocks.monotonic() >= self._ask_at:
                    self._ask()
            finally:
                self._asking.release()
        return self.in_batches

    def denied(self) -> None:
        """Notes that a batch or a statement of it is not allowed: reported once, and the end of batches for
        five minutes in the mode `auto`."""
        if self._is_auto:
            self._off(_MISSING)
        else:
            self._report(_MISSING, "the events concerned take an UpdateItem as well")

    def _ask(self) -> None:
        now = self._table.now()
        updates = proof_updates(self._table.name, absent_key, now)
        insert = proof_insert(self._table.name, now)
        try:
            problem = _wrong(self._codes(updates), "an UPDATE of a missing item", "ConditionalCheckFailed")
            problem = problem or _wrong(
                self._codes([insert]), "an INSERT with an empty key", "ValidationError", "ValidationException"
            )
        except Transient:
            self._unanswered += 1
            if self._unanswered == 1:
                get_logger().info("batch_writes_undecided", consequence=f"{_SINGLE} until it answers")
                self._context.health.report("batch writes", "off: the server does not answer the proof")
            self._ask_at = self._context.clocks.monotonic() + full_delay_seconds(
                self._unanswered, first_seconds=FIRST_PAUSE_SECONDS, most_seconds=MAX_PAUSE_SECONDS
            )
            return
        self._unanswered = 0
        if problem:
            self._off(problem)
            return
        if self._problem:
            get_logger().info("batch_writes_on")
        self._problem = None
        self._switch(on=True, problem=None)

    def _codes(self, statements: Sequence[Statement]) -> list[str | None]:
        """Each statement's error code, None where it succeeded; of all of them the code with which the server
        refused the call.

        Raises:
            Transient: if the server's answer tells nothing about batches.
        """
        no_answer = Transient("BatchExecuteStatement", "NoAnswer")
        asked: Any = [{"Statement": each.text, "Parameters": each.parameters} for each in statements]
        try:
            answer: Any = call(self._table.client.batch_execute_statement, Statements=asked)
        except AwsError as error:
            if error.code not in ACCESS_DENIED | {"UnknownOperationException"} and not isinstance(
                error, Rejected
            ):
                raise no_answer from None
            return [error.code] * len(statements)
        codes = [each.get("Error", {}).get("Code") for each in answer.get("Responses", [])]
        codes += [None] * (len(statements) - len(codes))
        if any(code and code.removesuffix("Exception") in _NO_ANSWERS for code in codes):
            raise no_answer
        return codes

    def _off(self, problem: str) -> None:
        self._ask_at = self._context.clocks.monotonic() + MAX_PAUSE_SECONDS
        self._switch(on=False, problem=f"off: {problem}")
        self._report(problem, _SINGLE)

    def _switch(self, *, on: bool, problem: str | None) -> None:
        self.in_batches = on
        self._context.metrics.gauge(Metric.BATCH_WRITES, int(on))
        self._context.health.report("batch writes", problem)

    def _report(self, problem: str, consequence: str) -> None:
        if problem != self._problem:
            self._problem = problem
            get_logger().warning("batch_writes_off", problem=problem, consequence=consequence)


def _wrong(codes: Sequence[str | None], asked: str, *wanted: str) -> str | None:
    """What is wrong with the answers to statements of the proof; None if all are right.

    Args:
        codes: the error code of each, None for success.
        asked: what was asked.
        wanted: the codes that are right.
    """
    for code in codes:
        if code in ACCESS_DENIED:
            return _MISSING
        if code not in wanted:
            answer = f"error {code}" if code else "success"
            return f"the server answered {answer} to {asked}, instead of {wanted[0]}"
    return None
