"""EXPORT_WRITE_MODE: which writer is used, and the proof that `auto` wants before it writes in batches."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from handlers.transitions import Change
from handlers.writes import Statement, proof_insert, proof_updates
from processor.aws.calls import call
from processor.aws.errors import AwsError, Rejected
from processor.backoff import full_delay_seconds
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.transitions.look_up import LookUp
from processor.transitions.status_table import Answer, StatusTable, absent_key
from processor.transitions.timing import Clocks
from processor.transitions.writers import ACCESS_DENIED, BatchWriter, SingleWriter, Writer

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
_NO_BATCHES = "UnknownOperationException"  # the call itself is unknown to the server
_MISSING = "a permission is missing: dynamodb:PartiQLInsert and dynamodb:PartiQLUpdate are needed"
_SINGLE = "one UpdateItem an event"


def choose_writer(mode: str, table: StatusTable, clocks: Clocks, metrics: Metrics, health: Health) -> Writer:
    """The writer for EXPORT_WRITE_MODE.

    Args:
        mode: `auto`, `batch` or `single`.
        table: the status table.
        clocks: for the pauses between proofs.
        metrics, health: show whether batches are on, and how many changes they did not settle.
    """
    single = SingleWriter(table)
    metrics.gauge(Metric.BATCH_WRITES, int(mode == "batch"))
    if mode == "single":
        return single
    if mode == "batch":
        warned = threading.Lock()

        def warn() -> None:
            if warned.acquire(blocking=False):
                _warn(_MISSING, "the events concerned take an UpdateItem as well")

        return BatchWriter(table, single, metrics, warn)
    return AutoWriter(table, single, clocks, metrics, health)


class AutoWriter:
    """Batches once the server has proved that it does them right; one UpdateItem a change until then.

    The proof: each UPDATE text in use is tried on an absent key and must be refused, then an INSERT with an
    empty key must be refused. It is repeated where it failed: after growing pauses where the server did not
    answer, after five minutes where it answered wrong or refused. So a permission that comes late counts.

    Args:
        table: the status table.
        single: for single writes.
        clocks: for the pauses.
        metrics, health: show whether batches are on.
    """

    def __init__(
        self, table: StatusTable, single: SingleWriter, clocks: Clocks, metrics: Metrics, health: Health
    ) -> None:
        self._table = table
        self._single = single
        self._clocks = clocks
        self._metrics = metrics
        self._health = health
        self._batch = BatchWriter(table, single, metrics, lambda: self._off(_MISSING))
        self._asking = threading.Lock()
        self._unanswered = 0
        self._ask_at = clocks.monotonic()
        self._problem: str | None = None
        self.in_batches = False
        """Whether changes are written in batches."""

    def write(
        self, changes: Sequence[Change], deadline: float, look_up: LookUp | None = None
    ) -> list[Answer]:
        """As `Writer.write`."""
        if not self.in_batches and changes and self._table.has_time(deadline):
            self._ask_if_due()
        writer: Writer = self._batch if self.in_batches else self._single
        return writer.write(changes, deadline, look_up)

    def _ask_if_due(self) -> None:
        if self._clocks.monotonic() < self._ask_at or not self._asking.acquire(blocking=False):
            return
        try:
            if not self.in_batches and self._clocks.monotonic() >= self._ask_at:
                self._ask()
        finally:
            self._asking.release()

    def _ask(self) -> None:
        now = self._table.now()
        updates = proof_updates(self._table.name, absent_key, now)
        try:
            problem = _wrong_updates(self._codes(updates))
            problem = problem or _wrong_insert(self._codes([proof_insert(self._table.name, now)]))
        except _NoAnswerError:
            self._unanswered += 1
            if self._unanswered == 1:
                get_logger().info("batch_writes_undecided", consequence=f"{_SINGLE} until it answers")
                self._health.report("batch writes", "off: the server does not answer the proof")
            self._ask_at = self._clocks.monotonic() + full_delay_seconds(
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
        self.in_batches = True
        self._metrics.gauge(Metric.BATCH_WRITES, 1)
        self._health.report("batch writes", None)

    def _codes(self, statements: Sequence[Statement]) -> list[str | None]:
        """Each statement's error code, None where it succeeded; of all of them the code with which the server
        refused the call.

        Raises:
            _NoAnswerError: if the server's answer tells nothing about batches.
        """
        try:
            answer: Mapping[str, Any] = call(
                self._table.client.batch_execute_statement,
                Statements=[{"Statement": each.text, "Parameters": each.parameters} for each in statements],
            )
        except AwsError as error:
            if error.code not in ACCESS_DENIED | {_NO_BATCHES} and not isinstance(error, Rejected):
                raise _NoAnswerError from None
            return [error.code] * len(statements)
        responses: Sequence[Any] = answer.get("Responses", [])
        codes: list[str | None] = [each.get("Error", {}).get("Code") for each in responses]
        codes += [None] * (len(statements) - len(codes))
        if any(code and code.removesuffix("Exception") in _NO_ANSWERS for code in codes):
            raise _NoAnswerError
        return codes

    def _off(self, problem: str) -> None:
        self.in_batches = False
        self._ask_at = self._clocks.monotonic() + MAX_PAUSE_SECONDS
        self._metrics.gauge(Metric.BATCH_WRITES, 0)
        self._health.report("batch writes", f"off: {problem}")
        if problem != self._problem:
            self._problem = problem
            _warn(problem, _SINGLE)


class _NoAnswerError(Exception):
    """The proof got no answer."""


def _wrong_updates(codes: Sequence[str | None]) -> str | None:
    """What is wrong with the answers to UPDATEs of absent items; None if all are right."""
    for code in codes:
        if code in ACCESS_DENIED:
            return _MISSING
        if code != "ConditionalCheckFailed":
            answer = f"error {code}" if code else "success"
            wanted = "instead of ConditionalCheckFailed"
            return f"the server answered {answer} to an UPDATE of a missing item, {wanted}"
    return None


def _wrong_insert(codes: Sequence[str | None]) -> str | None:
    """What is wrong with the answer to an INSERT with an empty key; None if it is right."""
    [code] = codes
    if code in ACCESS_DENIED:
        return _MISSING
    if code in {"ValidationError", "ValidationException"}:
        return None
    answer = f"error {code}" if code else "success"
    return f"the server answered {answer} to an INSERT with an empty key, instead of ValidationError"


def _warn(problem: str, consequence: str) -> None:
    get_logger().warning("batch_writes_off", problem=problem, consequence=consequence)
