"""On DynamoDB's own engine: the model executes conditions as it does, and both write modes are one."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.events import ExportEvent
from handlers.export import Item
from handlers.transitions import Outcome, fold
from handlers.writes import fill_in_arguments, statement, update_arguments
from tests.handlers.making import TTL_SECONDS, at, item
from tests.handlers.model_table import ConditionRefused, ModelTable
from tests.handlers.test_writes import NOW_SECONDS, events, items
from tests.resources import ClientFactory, fresh_name, item_of, status_table
from tests.transitions.rig import Clock, applier_on, delivery, settle
from tests.transitions.test_laws import clocked_traffic, contradictions, traffic

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


def put(local: ClientFactory, table: str, key: str, stored: Mapping[str, Any] | None) -> None:
    if stored is not None:
        local("dynamodb").put_item(TableName=table, Item={**stored, "requestId": {"S": key}})


def executed(local: ClientFactory, table: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
    """Whether a write took effect, and the item that the refusal shows."""
    client = local("dynamodb")
    try:
        client.update_item(TableName=table, **arguments)
    except client.exceptions.ConditionalCheckFailedException as refused:
        return False, refused.response.get("Item")
    return True, None


@given(events(), st.none() | items(), NOW_SECONDS)
@FEWER
def test_the_model_table_does_what_dynamodb_does(
    local: ClientFactory, table: str, arriving: ExportEvent, stored: Item | None, seconds: float
) -> None:
    key = fresh_name("req")
    _, change = fold([arriving.model_copy(update={"request_id": key})], TTL_SECONDS)
    kept = {**stored, "requestId": {"S": key}} if stored is not None else None
    for arguments in (
        update_arguments(change, at(seconds)),
        fill_in_arguments(key, {"fileName": "filled", "error": "filled"}, at(seconds)),
        fill_in_arguments(key, {"signedUrl": "filled"}, at(seconds)),
    ):
        model = ModelTable({key: dict(kept)} if kept is not None else {})
        put(local, table, key, kept)
        try:
            model.update_item(arguments)
        except ConditionRefused as refused:
            shown = refused.item if "ReturnValuesOnConditionCheckFailure" in arguments else None
            assert executed(local, table, arguments) == (False, shown)
        else:
            assert executed(local, table, arguments) == (True, None)
        assert item_of(local, table, key) == model.items.get(key)
        local("dynamodb").delete_item(TableName=table, Key={"requestId": {"S": key}})


@given(events(), st.none() | items(), NOW_SECONDS)
@FEWER
def test_a_statement_takes_effect_only_where_update_item_does_and_leaves_the_same_item(
    local: ClientFactory, table: str, arriving: ExportEvent, stored: Item | None, seconds: float
) -> None:
    by_update, by_statement = fresh_name("req"), fresh_name("req")
    left: dict[str, Any] = {}
    done: dict[str, bool] = {}
    for key in (by_update, by_statement):
        put(local, table, key, stored)
        _, change = fold([arriving.model_copy(update={"request_id": key})], TTL_SECONDS)
        if key == by_update:
            done[key], _ = executed(local, table, update_arguments(change, at(seconds)))
        else:
            made = statement(change, table, at(seconds))
            [answer] = local("dynamodb").batch_execute_statement(
                Statements=[{"Statement": made.text, "Parameters": list(made.parameters)}]
            )["Responses"]
            code = answer.get("Error", {}).get("Code")
            assert code in {None, "ConditionalCheckFailed", "DuplicateItem"}
            done[key] = code is None
        left[key] = {**(item_of(local, table, key) or {}), "requestId": None}
    before = {**(stored or {}), "requestId": None}
    assert done[by_update] or not done[by_statement]
    assert left[by_statement] == (left[by_update] if done[by_statement] else before)
    creates = stored is None and arriving.status.value != "pending"
    keeps_file_name = stored is not None and "fileName" in stored and arriving.file_name is not None
    if done[by_update] and not creates and not keeps_file_name:
        assert done[by_statement], "the batch does the common case by itself"


@given(traffic(), st.sampled_from([60, 899.9]))
@FEWER
def test_both_modes_end_in_the_same_table_with_the_same_outcomes(
    local: ClientFactory,
    sent: tuple[list[list[str]], dict[str, dict[str, Any]]],
    seconds: float,
) -> None:
    batches, end = sent
    first, *others = in_every_way(local, [(seconds, batches)])
    assert first[1] == end
    assert others == [first] * len(others)


@given(contradictions(), st.sampled_from([60, 899.9]))
@FEWER
def test_both_modes_keep_the_same_one_of_two_terminal_statuses(
    local: ClientFactory, batches: list[list[str]], seconds: float
) -> None:
    first, *others = in_every_way(local, [(seconds, batches)])
    assert others == [first] * len(others)


@given(clocked_traffic(), st.lists(st.none() | items(), min_size=3, max_size=3))
@FEWER
def test_both_modes_agree_about_dead_and_broken_items_too(
    local: ClientFactory, sent: list[tuple[float, bool, list[str]]], present: list[Item | None]
) -> None:
    first, *others = in_every_way(local, [(seconds, [batch]) for seconds, _, batch in sent], present)
    assert others == [first] * len(others)


def in_every_way(
    local: ClientFactory,
    rounds: list[tuple[float, list[list[str]]]],
    present: list[Item | None] | None = None,
) -> list[tuple[list[Outcome], dict[str, Any]]]:
    """The outcomes and the table in the end: with single writes, with batches as DynamoDB Local answers
    them, and with batches as AWS does.

    Args:
        local: the engine.
        rounds: batches of bodies with the time at which they arrive, settled before the next round.
        present: the items of `req-0` and so on before.
    """
    seen = []
    for mode, client in (
        ("single", local("dynamodb")),
        ("batch", local("dynamodb")),
        ("batch", OldItems(local("dynamodb"))),
    ):
        table = status_table(local, stream=False)
        for number, stored in enumerate(present or []):
            put(local, table, f"req-{number}", stored)
        clock = Clock()
        applier = applier_on(client, table, clock, mode=mode)
        outcomes: list[Outcome] = []
        for seconds, batches in rounds:
            clock.seconds = seconds
            deliveries = [[delivery(text, now=at(seconds)) for text in batch] for batch in batches]
            outcomes += settle(applier, deliveries)
        left = local("dynamodb").scan(TableName=table, ConsistentRead=True)["Items"]
        local("dynamodb").delete_table(TableName=table)
        seen.append((outcomes, {each["requestId"]["S"]: each for each in left}))
    return seen


class OldItems:
    """Adds the old item to a refused statement, as AWS does and DynamoDB Local does not."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_execute_statement(self, **arguments: Any) -> Any:
        """The answer, with what is stored under the keys of refused statements."""
        answer = self._client.batch_execute_statement(**arguments)
        for asked, response in zip(arguments["Statements"], answer["Responses"], strict=True):
            if response.get("Error", {}).get("Code") != "ConditionalCheckFailed":
                continue
            assert asked["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"
            table, key = (
                asked["Statement"].split('"')[1],
                asked["Parameters"][asked["Statement"].count("SET ")],
            )
            stored = self._client.get_item(TableName=table, Key={"requestId": key}, ConsistentRead=True)
            if "Item" in stored:
                response["Error"]["Item"] = stored["Item"]
        return answer


def test_sixty_exports_of_one_batch_of_messages_take_three_statements_calls(local: ClientFactory) -> None:
    table = status_table(local, stream=False)
    client = CountingClient(local("dynamodb"))
    applier = applier_on(client, table, Clock(), mode="batch")
    bodies = [
        f'{{"requestId":"r{n}","status":"pending","occurredAt":"{item()["updatedAt"]["S"]}"}}'
        for n in range(60)
    ]
    assert settle(applier, [[delivery(text) for text in bodies]]) == [Outcome.APPLIED] * 60
    assert client.calls == ["batch_execute_statement"] * 3


class CountingClient:
    """Passes calls on and remembers their names."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._client, name)
