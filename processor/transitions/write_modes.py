"""EXPORT_WRITE_MODE: which writer is used, and the proof that `auto` wants before it writes in batches."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from handlers.transitions import Change
from handlers.writes import probe_statement
from processor.aws.calls import call
from processor.aws.errors import AwsError, Rejected
from processor.observability.log import get_logger
from processor.transitions.status_table import TRIES, Answer, StatusTable, absent_key
from processor.transitions.timing import Clocks
from processor.transitions.writers import ACCESS_DENIED, BatchWriter, SingleWriter, Writer

FIRST_PAUSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 300.0
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


def choose_writer(mode: str, table: StatusTable, clocks: Clocks) -> Writer:
    """The writer for EXPORT_WRITE_MODE.

    Args:
        mode: `auto`, `batch` or `single`.
        table: the status table.
        clocks: for the pauses between proofs.
    """
    single = SingleWriter(table)
    if mode == "single":
        return single
    if mode == "batch":
        warning = _Warning("the events concerned take an UpdateItem as well")
        return BatchWriter(table, single, partial(warning.give, _MISSING))
    writer = AutoWriter(table, single, clocks)
    writer.begin()
    return writer


class AutoWriter:
    """Batches once the server has proved that it does them right; one UpdateItem a change until then.

    The proof is a batched UPDATE of an item that does not exist: it must be refused. A time-out, throttling
    or refused credentials are no answer, so it is asked again now and then. Any other answer, or a batch
    that is not allowed later, means single writes for good, with one warning.

    Args:
        table: the status table.
        single: for single writes.
        clocks: for the pauses between questions.
    """

    def __init__(self, table: StatusTable, single: SingleWriter, clocks: Clocks) -> None:
        self._table = table
        self._single = single
        self._batch = BatchWriter(table, single, partial(self._turn_off, _MISSING))
        self._warning = _Warning("one UpdateItem an event")
        self._clocks = clocks
        self._asking = threading.Lock()
        self._pause = FIRST_PAUSE_SECONDS
        self._ask_at = 0.0
        self._undecided = True
        self.in_batches = False

    def begin(self) -> None:
        """Asks the server, a few times if it does not answer."""
        for attempt in range(TRIES):
            if attempt and not self._table.wait_to_try_again(attempt, float("inf")):
                return
            self._ask()
            if not self._undecided:
                return
        get_logger().info("batch_writes_undecided", consequence="one UpdateItem an event until it answers")

    def write(self, changes: Sequence[Change], deadline: float) -> list[Answer]:
        """As `Writer.write`."""
        if self._undecided and changes and self._table.has_time(deadline):
            self._ask_if_it_is_time()
        writer: Writer = self._batch if self.in_batches else self._single
        return writer.write(changes, deadline)

    def _ask_if_it_is_time(self) -> None:
        if not self._asking.acquire(blocking=False):
            return
        try:
            if self._undecided and self._clocks.monotonic() >= self._ask_at:
                self._pause = min(MAX_PAUSE_SECONDS, self._pause * 2)
                self._ask()
                if self.in_batches:
                    get_logger().info("batch_writes_on")
        finally:
            self._asking.release()

    def _ask(self) -> None:
        self._ask_at = self._clocks.monotonic() + self._pause
        probe = probe_statement(absent_key(), self._table.name)
        try:
            answer = call(
                self._table.client.batch_execute_statement,
                Statements=[{"Statement": probe.text, "Parameters": probe.parameters}],
            )
        except AwsError as error:
            if error.code in ACCESS_DENIED:
                self._turn_off(_MISSING)
            elif isinstance(error, Rejected) or error.code == _NO_BATCHES:
                self._turn_off(f"the server could not be tried ({error})")
            return
        code = _error_code(answer)
        if code and code.removesuffix("Exception") in _NO_ANSWERS:
            return
        problem = _problem(code)
        if problem:
            self._turn_off(problem)
        else:
            self.in_batches, self._undecided = True, False

    def _turn_off(self, problem: str) -> None:
        self.in_batches = self._undecided = False
        self._warning.give(problem)


def _error_code(answer: Mapping[str, Any]) -> str | None:
    """The error of the one statement, None if it has none or is not the only one."""
    responses: Sequence[Any] = answer.get("Responses", [])
    code: str | None = responses[0].get("Error", {}).get("Code") if len(responses) == 1 else None
    return code


def _problem(code: str | None) -> str | None:
    """What is wrong with the answer to the probe, None if it is right."""
    if code == "ConditionalCheckFailed":
        return None
    if code in ACCESS_DENIED:
        return _MISSING
    wrong = f"error {code}" if code else "success"
    return f"the server answered {wrong} to an UPDATE of a missing item, instead of ConditionalCheckFailed"


class _Warning:
    """Given once, whichever thread is the first."""

    def __init__(self, consequence: str) -> None:
        self._consequence = consequence
        self._first = threading.Lock()

    def give(self, problem: str) -> None:
        if self._first.acquire(blocking=False):
            get_logger().warning("batch_writes_off", problem=problem, consequence=self._consequence)
