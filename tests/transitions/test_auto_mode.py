"""EXPORT_WRITE_MODE: what `auto` finds out about the server, and what batches that are not allowed cost."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.localaws.embedded_aws import EmbeddedAws
from processor.transitions.applier import Applier
from processor.transitions.status_table import Written
from processor.transitions.timing import Clocks
from processor.transitions.write_modes import AutoWriter, choose_writer
from processor.transitions.writers import SingleWriter
from tests.handlers.making import TTL_SECONDS, body, item, text_at
from tests.resources import ClientFactory, status_table
from tests.transitions.rig import (
    FAR_DEADLINE,
    Clock,
    ModelDynamoDb,
    service_error,
    status_table_on,
    timeout,
)
from tests.transitions.stores import Store, change, outcomes, table_on

CREATED_AT = text_at(0)
PERMISSIONS = "a permission is missing: dynamodb:PartiQLInsert and dynamodb:PartiQLUpdate are needed"


def test_auto_on_moto_falls_back_with_one_warning_and_loses_nothing(
    embedded_aws: EmbeddedAws, clock: Clock, logged: list[Any]
) -> None:
    store = Store(embedded_aws.client, status_table(embedded_aws.client, stream=False))
    table = table_on(store.client, store, clock)
    writer = choose_writer("auto", table, Clocks())
    assert isinstance(writer, AutoWriter)
    assert not writer.in_batches
    [warning] = logged
    assert (warning["event"], warning["log_level"]) == ("batch_writes_off", "warning")
    assert "to an UPDATE of a missing item, instead of ConditionalCheckFailed" in warning["problem"]
    applier = Applier(table, writer, clock, TTL_SECONDS)
    bodies = [body(status, createdAt=CREATED_AT) for status in ("completed", "pending", "processing")]
    assert [outcomes(applier, text) for text in bodies] == [
        [Outcome.APPLIED],
        [Outcome.STALE],
        [Outcome.STALE],
    ]
    assert store.item() == item("completed")


@pytest.mark.dynamodb_local
def test_auto_on_dynamodb_local_uses_batches(
    dynamodb_local: str, clients: Callable[[str], ClientFactory], clock: Clock, logged: list[Any]
) -> None:
    factory = clients(dynamodb_local)
    store = Store(factory, status_table(factory, stream=False))
    writer = choose_writer("auto", table_on(store.client, store, clock), Clocks())
    assert isinstance(writer, AutoWriter)
    assert writer.in_batches
    assert logged == []
    assert store.client.scan(TableName=store.table)["Count"] == 0


class Answering:
    """A client whose BatchExecuteStatement answers as told."""

    def __init__(self, *answers: Any, client: Any = None) -> None:
        self._answers = list(answers)
        self._client = client
        self.asked = 0

    def batch_execute_statement(self, **_: Any) -> Any:
        self.asked += 1
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"Responses": answer}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([service_error("AccessDeniedException")], PERMISSIONS),
        ([[{"Error": {"Code": "AccessDenied"}}]], PERMISSIONS),
        (
            [[{"Error": {"Code": "ValidationError"}}]],
            (
                "the server answered error ValidationError to an UPDATE of a missing item,"
                " instead of ConditionalCheckFailed"
            ),
        ),
        (
            [[]],
            "the server answered success to an UPDATE of a missing item, instead of ConditionalCheckFailed",
        ),
        (
            [service_error("UnknownOperationException")],
            "the server could not be tried (BatchExecuteStatement: UnknownOperationException)",
        ),
        (
            [service_error("ValidationException")],
            "the server could not be tried (BatchExecuteStatement: ValidationException)",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_auto_names_why_batches_are_not_used(
    answers: list[Any], problem: str, clock: Clock, logged: list[Any]
) -> None:
    table = status_table_on(Answering(*answers), "table", clock)
    writer = choose_writer("auto", table, Clocks())
    assert isinstance(writer, AutoWriter)
    assert not writer.in_batches
    assert [line["problem"] for line in logged] == [problem]
    writer.write([change()], -1.0)  # Answering has no further answer: it is not asked again


NO_ANSWERS = [
    service_error("ThrottlingException"),
    service_error("InternalServerError", 500),
    service_error("ExpiredTokenException"),
    service_error("UnrecognizedClientException"),
    service_error("RequestExpired"),
    service_error("ResourceNotFoundException"),
    *[
        [{"Error": {"Code": code}}]
        for code in (
            "ThrottlingError",
            "ThrottlingException",
            "ProvisionedThroughputExceeded",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestLimitExceededException",
            "InternalServerError",
            "TransactionConflict",
            "TransactionConflictException",
        )
    ],
]


@pytest.mark.parametrize("no_answer", NO_ANSWERS, ids=lambda value: str(value)[:90])
def test_auto_tries_again_after_a_probe_that_was_no_answer(
    clock: Clock, logged: list[Any], no_answer: Any
) -> None:
    right = [{"Error": {"Code": "ConditionalCheckFailed"}}]
    answering = Answering(no_answer, right)
    table = status_table_on(answering, "table", clock)
    writer = choose_writer("auto", table, Clocks())
    assert isinstance(writer, AutoWriter)
    assert writer.in_batches
    assert logged == []


RIGHT = [{"Error": {"Code": "ConditionalCheckFailed"}}]


class Watch:
    """A monotonic clock that is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_auto_asks_again_after_growing_pauses_until_the_server_has_answered(
    clock: Clock, logged: list[Any]
) -> None:
    throttled = service_error("ThrottlingException")
    table = ModelDynamoDb(clock)
    answering = Answering(*[timeout()] * 3, *[throttled] * 8, RIGHT, [{"TableName": "t"}], client=table)
    status_table = status_table_on(answering, "t", clock)
    watch = Watch()
    writer = AutoWriter(status_table, SingleWriter(status_table), Clocks(monotonic=watch))
    writer.begin()
    asked_at = [0.0]
    while not writer.in_batches:
        watch.now += 2.5
        assert watch.now < 3_600
        before = answering.asked
        assert writer.write([change(requestId=f"r{watch.now}")], FAR_DEADLINE) == [Written()]
        asked_at += [watch.now] if answering.asked > before else []
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert table.updates == len(table.table.items) > 400, "single writes go on meanwhile"
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("batch_writes_undecided", "info"),
        ("batch_writes_on", "info"),
    ]


def test_auto_asks_from_one_thread_at_a_time_and_not_when_there_is_no_time(
    store: Store, clock: Clock
) -> None:
    answering = Answering(*[timeout()] * 3, client=store.client)
    table = status_table_on(answering, store.table, clock)
    watch = Watch()
    writer = AutoWriter(table, SingleWriter(table), Clocks(monotonic=watch))
    writer.begin()
    watch.now = 5.0
    writer.write([change()], -1.0)
    assert answering.asked == 3
    with writer._asking:  # another thread asks
        assert writer.write([change()], FAR_DEADLINE) == [Written()]
    assert answering.asked == 3


@pytest.mark.parametrize(
    "refusal", [service_error("AccessDeniedException"), [{"Error": {"Code": "AccessDenied"}}]], ids=str
)
def test_auto_gives_batches_up_when_inserts_are_not_allowed(
    store: Store, clock: Clock, logged: list[Any], refusal: Any
) -> None:
    """The proof at the start is an UPDATE: it does not show that dynamodb:PartiQLInsert is missing."""
    answering = Answering(RIGHT, refusal, client=store.client)
    table = status_table_on(answering, store.table, clock)
    writer = choose_writer("auto", table, Clocks())
    for number in range(3):
        assert writer.write([change(requestId=f"r{number}")], FAR_DEADLINE) == [Written()]
    assert answering.asked == 2
    [line] = logged
    assert (line["event"], line["log_level"], line["problem"]) == (
        "batch_writes_off",
        "warning",
        PERMISSIONS,
    )


def test_the_mode_batch_says_once_that_statements_are_not_allowed_and_goes_on(
    store: Store, clock: Clock, logged: list[Any]
) -> None:
    answering = Answering(*[[{"Error": {"Code": "AccessDenied"}}]] * 3, client=store.client)
    table = status_table_on(answering, store.table, clock)
    writer = choose_writer("batch", table, Clocks())
    for number in range(3):
        assert writer.write([change(requestId=f"r{number}")], FAR_DEADLINE) == [Written()]
    assert answering.asked == 3
    [line] = logged
    assert (line["event"], line["log_level"], line["problem"]) == (
        "batch_writes_off",
        "warning",
        PERMISSIONS,
    )
