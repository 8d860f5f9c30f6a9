"""On DynamoDB's own engine: the simulated table does what it does, and both write modes are one."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.events import ExportEvent
from handlers.export import Item
from handlers.transitions import Outcome, fold
from handlers.writes import fill_in_arguments, statement, update_arguments
from tests.handlers.making import TTL_SECONDS, at
from tests.handlers.test_writes import NOW_SECONDS, events, items
from tests.resources import ClientFactory, fresh_name, item_of, status_table
from tests.transitions.rig import Clock, applier_on, delivery, settle
from tests.transitions.test_laws import clocked_traffic, contradictions, traffic
from tests.transitions.world.table import SimulatedDynamoDb

pytestmark = pytest.mark.dynamodb_local

FEWER = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def local(dynamodb_local: str, clients: Callable[[str], ClientFactory]) -> ClientFactory:
    return clients(dynamodb_local)


@pytest.fixture(scope="module")
def table(local: ClientFactory) -> str:
    return status_table(local, stream=False)


def answer_of(client: Any, operation: str, request: dict[str, Any]) -> Any:
    """What a client answers to a write: the error's code, and the item that the refusal shows."""
    try:
        answer = getattr(client, operation)(**request)
    except ClientError as refused:
        return refused.response["Error"]["Code"], refused.response.get("Item")
    return [each.get("Error", {}).get("Code") for each in answer.get("Responses", [])]


@given(events(), st.none() | items(), NOW_SECONDS)
@FEWER
def test_the_simulated_table_does_what_dynamodb_does(
    local: ClientFactory, table: str, arriving: ExportEvent, stored: Item | None, seconds: float
) -> None:
    key, real = fresh_name("req"), local("dynamodb")
    _, change = fold([arriving.model_copy(update={"request_id": key})], TTL_SECONDS)
    made = statement(change, table, at(seconds))
    asked = {"Statement": made.text, "Parameters": made.parameters}
    writes = [
        update_arguments(change, at(seconds)),
        fill_in_arguments(key, {"fileName": "filled", "error": "filled"}, at(seconds)),
        fill_in_arguments(key, {"signedUrl": "filled"}, at(seconds)),
    ]
    for operation, request in [
        *[("update_item", {"TableName": table, **arguments}) for arguments in writes],
        ("batch_execute_statement", {"Statements": [asked]}),
    ]:
        simulated = SimulatedDynamoDb()
        if stored is not None:
            kept = {**stored, "requestId": {"S": key}}
            simulated.put(kept)
            real.put_item(TableName=table, Item=kept)
        assert answer_of(simulated, operation, request) == answer_of(real, operation, request)
        assert simulated.item(key) == item_of(local, table, key)
        real.delete_item(TableName=table, Key={"requestId": {"S": key}})


@given(traffic(), st.sampled_from([60, 899.9]))
@FEWER
def test_both_modes_end_in_the_same_table_with_the_same_outcomes(
    local: ClientFactory,
    sent: tuple[list[list[str]], dict[str, dict[str, Any]]],
    seconds: float,
) -> None:
    batches, end = sent
    assert agreed(local, [(seconds, batches)])[1] == end


@given(contradictions(), st.sampled_from([60, 899.9]))
@FEWER
def test_both_modes_keep_the_same_one_of_two_terminal_statuses(
    local: ClientFactory, batches: list[list[str]], seconds: float
) -> None:
    agreed(local, [(seconds, batches)])


@given(clocked_traffic(), st.lists(st.none() | items(), min_size=3, max_size=3))
@FEWER
def test_both_modes_agree_about_dead_and_broken_items_too(
    local: ClientFactory, sent: list[tuple[float, bool, list[str]]], present: list[Item | None]
) -> None:
    agreed(local, [(seconds, [batch]) for seconds, _, batch in sent], present)


def agreed(
    local: ClientFactory,
    rounds: list[tuple[float, list[list[str]]]],
    present: list[Item | None] | None = None,
) -> tuple[list[Outcome], dict[str, Any]]:
    """The outcomes and the table in the end, which are the same with single writes, with batches as DynamoDB
    Local answers them, and with batches as AWS does.

    Args:
        local: the engine.
        rounds: batches of bodies with the time at which they arrive, settled before the next round.
        present: the items of `req-0` and so on before.
    """
    seen = []
    for mode in ("single", "batch"):
        table, real = status_table(local, stream=False), local("dynamodb")
        for item in stored_as(present):
            real.put_item(TableName=table, Item=item)
        outcomes = outcomes_of(rounds, real, table, mode)
        left = real.scan(TableName=table, ConsistentRead=True)["Items"]
        real.delete_table(TableName=table)
        seen.append((outcomes, {each["requestId"]["S"]: each for each in left}))
    simulated = SimulatedDynamoDb()
    for item in stored_as(present):
        simulated.put(item)
    seen.append((outcomes_of(rounds, simulated, "t", "batch"), dict(simulated.table.items)))
    assert seen == [seen[0]] * len(seen)
    return seen[0]


def stored_as(present: list[Item | None] | None) -> list[dict[str, Any]]:
    return [
        {**stored, "requestId": {"S": f"req-{number}"}}
        for number, stored in enumerate(present or [])
        if stored is not None
    ]


def outcomes_of(
    rounds: list[tuple[float, list[list[str]]]], client: Any, table: str, mode: str
) -> list[Outcome]:
    clock = Clock()
    applier = applier_on(client, table, clock, mode=mode)
    outcomes: list[Outcome] = []
    for seconds, batches in rounds:
        clock.seconds = seconds
        deliveries = [[delivery(text, now=at(seconds)) for text in batch] for batch in batches]
        outcomes += settle(applier, deliveries)
    return outcomes
