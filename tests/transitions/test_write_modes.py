"""EXPORT_WRITE_MODE: what `auto` finds out about the server, and what batches that are not allowed cost."""

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import check
from processor.observability.metrics import Metric
from processor.transitions.applier import Applier
from processor.transitions.status_table import Answer, Written
from processor.transitions.write_modes import WriteMode
from processor.transitions.writers import Writer
from tests.handlers.making import body, item, text_at
from tests.resources import ClientFactory, status_table
from tests.transitions.rig import (
    FAR_DEADLINE,
    Store,
    batches,
    change,
    counted,
    outcomes,
    service_error,
    status_table_on,
    timeout,
    writer_on,
)
from tests.transitions.world.table import SimulatedDynamoDb

CREATED_AT = text_at(0)
PERMISSIONS = "a permission is missing: dynamodb:PartiQLInsert and dynamodb:PartiQLUpdate are needed"


class Auto:
    """The writer of the mode `auto` on a client."""

    def __init__(self, client: Any, table: str, directory: Path) -> None:
        self.now = 0.0
        self.path = directory / "health"
        self.table = status_table_on(client, table, monotonic=lambda: self.now, health_file=self.path)
        self.metrics = self.table.context.metrics
        self.mode = WriteMode("auto", self.table)
        self.writer = Writer(self.table, self.mode)

    def write(self, *request_ids: str, deadline: float = FAR_DEADLINE) -> list[Answer]:
        return self.writer.write([change(requestId=each) for each in request_ids], deadline)

    def degraded(self) -> tuple[str, ...]:
        self.table.context.health.write()
        return check(self.path, lambda: self.now).degraded


def test_auto_on_moto_falls_back_with_one_line_and_loses_nothing(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any]
) -> None:
    store = Store(embedded_aws.client, status_table(embedded_aws.client, stream=False))
    auto = Auto(store.client, store.table, tmp_path)
    applier = Applier(auto.table, auto.writer)
    bodies = [body(status, createdAt=CREATED_AT) for status in ("completed", "pending", "processing")]
    found = [outcomes(applier, text) for text in bodies]
    assert found == [[Outcome.APPLIED], [Outcome.STALE], [Outcome.STALE]]
    assert store.item() == item("completed")
    assert store.client.scan(TableName=store.table)["Count"] == 1, "the proof leaves nothing"
    assert not auto.mode.in_batches
    # moto cannot read the UPDATE texts at all: an answer that tells nothing.
    assert [line["event"] for line in logged] == ["batch_writes_undecided"]
    assert auto.degraded() == ("batch writes: off: the server does not answer the proof",)


@pytest.mark.dynamodb_local
def test_auto_on_dynamodb_local_uses_batches(
    dynamodb_local: str, clients: Callable[[str], ClientFactory], tmp_path: Path, logged: list[Any]
) -> None:
    factory = clients(dynamodb_local)
    store = Store(factory, status_table(factory, stream=False))
    auto = Auto(store.client, store.table, tmp_path)
    assert auto.write("r1") == [Written()]
    assert auto.mode.in_batches
    assert logged == []
    assert store.client.scan(TableName=store.table)["Count"] == 1, "the proof leaves nothing"
    assert counted(auto.metrics, Metric.BATCH_WRITES) == 1


REFUSED = {"Error": {"Code": "ConditionalCheckFailed"}}
INVALID = {"Error": {"Code": "ValidationError"}}
DENIED = {"Error": {"Code": "AccessDenied"}}
WRITTEN = {"TableName": "t"}
PROOF = [REFUSED], [INVALID]  # a right server's answers
BATCH = "batch_execute_statement"
INSTEAD = "to an UPDATE of a missing item, instead of ConditionalCheckFailed"


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([service_error("AccessDeniedException")], PERMISSIONS),
        ([[DENIED]], PERMISSIONS),
        ([[]], f"the server answered success {INSTEAD}"),
        *(
            ([service_error(code)], f"the server answered error {code} {INSTEAD}")
            for code in ("UnknownOperationException", "ValidationException")
        ),
        (
            [[REFUSED], [WRITTEN]],
            "the server answered success to an INSERT with an empty key, instead of ValidationError",
        ),
        ([[REFUSED], service_error("AccessDeniedException")], PERMISSIONS),
    ],
    ids=lambda value: str(value)[:50],
)
def test_auto_names_why_batches_are_not_used(
    answers: list[Any], problem: str, tmp_path: Path, logged: list[Any]
) -> None:
    auto = Auto(batches(SimulatedDynamoDb(), *answers), "table", tmp_path)
    assert auto.write("r1", "r2") == [Written()] * 2
    assert auto.write("r3", "r4") == [Written()] * 2, "not asked again so soon"
    assert not auto.mode.in_batches
    assert [line["problem"] for line in logged] == [problem]
    assert auto.degraded() == (f"batch writes: off: {problem}",)
    assert counted(auto.metrics, Metric.BATCH_WRITES) == 0


CALLS = [
    "ThrottlingException",
    "ExpiredTokenException",
    "UnrecognizedClientException",
    "ResourceNotFoundException",
]
STATEMENTS = [
    *("ThrottlingError", "ProvisionedThroughputExceededException", "RequestLimitExceeded"),
    *("InternalServerError", "TransactionConflict"),
]
NO_ANSWERS = [service_error(code) for code in CALLS] + [[{"Error": {"Code": code}}] for code in STATEMENTS]


@pytest.mark.parametrize("no_answer", NO_ANSWERS, ids=lambda value: str(value)[:90])
def test_auto_tries_again_after_a_proof_without_an_answer(
    tmp_path: Path, logged: list[Any], no_answer: Any
) -> None:
    answers = (no_answer, [REFUSED], no_answer, *PROOF)
    auto = Auto(batches(SimulatedDynamoDb(), *answers), "t", tmp_path)
    for _ in range(3):
        assert not auto.mode.in_batches
        auto.write("r1")
        auto.now += 20
    assert auto.mode.in_batches
    assert {line["event"] for line in logged} == {"batch_writes_undecided"}
    assert auto.degraded() == ()


def test_auto_asks_again_after_growing_pauses_until_the_server_has_answered(tmp_path: Path) -> None:
    throttled = service_error("ThrottlingException")
    client = batches(SimulatedDynamoDb(), timeout(), *[throttled] * 8, *PROOF)
    auto = Auto(client, "t", tmp_path)
    asked_at: list[float] = []
    while not auto.mode.in_batches:
        assert auto.now < 3_600
        before = client.count(BATCH)
        assert auto.write(f"r{auto.now}") == [Written()], "single writes go on all the time"
        asked_at += [auto.now] if client.count(BATCH) > before else []
        auto.now += 2.5
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_auto_asks_from_one_thread_at_a_time_and_not_when_there_is_no_time(
    store: Store, tmp_path: Path
) -> None:
    asking, answer = threading.Event(), threading.Event()

    def slow(_arguments: dict[str, Any]) -> Any:
        asking.set()
        assert answer.wait(60)
        return {"Responses": [REFUSED] * 10}

    client = batches(store.client, slow, [INVALID])
    auto = Auto(client, store.table, tmp_path)
    auto.write("r0", deadline=-1.0)
    assert not asking.is_set()
    first = threading.Thread(target=auto.write, args=("r1",))
    first.start()
    assert asking.wait(60)
    assert auto.write("r2") == [Written()], "another thread asks"
    answer.set()
    first.join(60)
    assert client.count(BATCH) == 2
    assert auto.mode.in_batches


@pytest.mark.parametrize("refusal", [service_error("AccessDeniedException"), [DENIED]], ids=str)
def test_auto_uses_no_batches_while_they_are_not_allowed_and_asks_again_after_five_minutes(
    store: Store, tmp_path: Path, logged: list[Any], refusal: Any
) -> None:
    """IAM is eventually consistent: one refusal must not turn batches off for the life of the process."""
    client = batches(store.client, *PROOF, refusal, *PROOF, [WRITTEN])
    auto = Auto(client, store.table, tmp_path)
    for number in range(0, 6, 2):
        assert auto.write(f"r{number}", f"r{number + 1}") == [Written()] * 2
    assert client.count(BATCH) == 3
    assert auto.degraded() == (f"batch writes: off: {PERMISSIONS}",)
    assert counted(auto.metrics, Metric.WRITES_FELL_BACK) == 2
    auto.now = 299
    auto.write("r6", "r7")
    assert not auto.mode.in_batches
    auto.now = 301
    assert auto.write("r8", "r9") == [Written()] * 2
    assert counted(auto.metrics, Metric.BATCH_WRITES) == 1
    assert auto.degraded() == ()
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("batch_writes_off", "warning"),
        ("batch_writes_on", "info"),
    ]


def test_the_mode_batch_reports_once_that_statements_are_not_allowed_and_goes_on(
    store: Store, logged: list[Any]
) -> None:
    client = batches(store.client, *[[DENIED]] * 3)
    writer = writer_on(status_table_on(client, store.table))
    for number in range(3):
        pair = [change(requestId=f"{name}{number}") for name in "ab"]
        assert writer.write(pair, FAR_DEADLINE) == [Written()] * 2
    assert client.count(BATCH) == 3
    [line] = logged
    assert (line["event"], line["log_level"], line["problem"]) == (
        "batch_writes_off",
        "warning",
        PERMISSIONS,
    )
