"""The simulated table answers statements and writes as DynamoDB does."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from handlers.export import Status
from handlers.transitions import Change
from handlers.writes import statement, update_arguments
from tests.handlers.making import at, item, text_at
from tests.resources import ClientFactory, fresh_name, status_table
from tests.transitions.world.clock import EPOCH, SimulatedClock
from tests.transitions.world.faults import Faults
from tests.transitions.world.table import SimulatedDynamoDb

CASES = 120
NOW = at(60)


def a_change(rng: random.Random, key: str) -> Change:
    status = rng.choice([*Status])
    says = status is Status.PENDING or rng.random() < 0.5
    return Change(
        request_id=key,
        status=status,
        updated_at=at(rng.randint(1, 9)),
        created_at=at(0) if says else None,
        ttl=int(at(900).timestamp()) if says else None,
        file_name=rng.choice((None, "report.csv", "other.csv")),
        signed_url="https://files.example/x" if status is Status.COMPLETED else None,
        error="disk full" if status is Status.FAILED else None,
    )


def an_item(rng: random.Random, key: str) -> dict[str, Any] | None:
    if rng.random() < 0.25:
        return None
    changes: dict[str, Any] = {"requestId": {"S": key}}
    if rng.random() < 0.3:
        changes["fileName"] = {"S": "report.csv"}
    if rng.random() < 0.1:
        changes["ttl"] = {"N": str(int(at(30).timestamp()))}
    if rng.random() < 0.05:
        changes["ttl"] = {"S": "soon"}
    if rng.random() < 0.05:
        changes["updatedAt"] = {"S": "zzz"}
    if rng.random() < 0.05:
        changes["error"] = {"S": "left over"}
    return item(rng.choice(["pending", "processing", "completed", "failed"]), **changes)


def batched(client: Any, change: Change, table: str) -> str:
    """What a batch says of one statement."""
    made = statement(change, table, NOW)
    [answer] = client.batch_execute_statement(
        Statements=[{"Statement": made.text, "Parameters": list(made.parameters)}]
    )["Responses"]
    return str(answer.get("Error", {}).get("Code", "done"))


def single(client: Any, change: Change, table: str) -> str:
    """What UpdateItem says."""
    try:
        client.update_item(TableName=table, **update_arguments(change, NOW))
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    return "done"


@pytest.mark.dynamodb_local
@pytest.mark.parametrize("write", [batched, single], ids=["statement", "UpdateItem"])
def test_writes_are_done_and_refused_as_dynamodb_local_does(
    dynamodb_local: str,
    clients: Callable[[str], ClientFactory],
    write: Callable[[Any, Change, str], str],
) -> None:
    rng = random.Random(7)
    real = clients(dynamodb_local)("dynamodb")
    table = status_table(clients(dynamodb_local), stream=False)
    clock = SimulatedClock()
    clock.advance(at(60).timestamp() - EPOCH)
    simulated = SimulatedDynamoDb(clock, Faults(clock, rng), rng, lambda _key, _old, _new: None)
    answers = []
    for number in range(CASES):
        key = f"{fresh_name('req')}-{number}"
        before, change = an_item(rng, key), a_change(rng, key)
        if before is not None:
            real.put_item(TableName=table, Item=before)
            simulated.put(before)
        answer = write(real, change, table)
        assert write(simulated, change, table) == answer, (before, change)
        stored = real.get_item(TableName=table, Key={"requestId": {"S": key}}, ConsistentRead=True)
        assert simulated.item(key) == stored.get("Item"), (before, change)
        answers.append(answer)
    assert len(set(answers)) >= 2, "the cases must meet both"


def test_an_insert_with_an_empty_key_is_refused() -> None:
    clock, rng = SimulatedClock(), random.Random(1)
    client = SimulatedDynamoDb(clock, Faults(clock, rng), rng, lambda _key, _old, _new: None)
    insert = """INSERT INTO "t" VALUE {'requestId': ?, 'status': ?}"""
    [answer] = client.batch_execute_statement(
        Statements=[{"Statement": insert, "Parameters": [{"S": ""}, {"S": "pending"}]}]
    )["Responses"]
    assert answer["Error"]["Code"] == "ValidationError"


def test_an_expired_item_is_gone_some_time_after_its_ttl() -> None:
    clock, rng = SimulatedClock(), random.Random(1)
    client = SimulatedDynamoDb(
        clock, Faults(clock, rng), rng, lambda _key, _old, _new: None, deletion_lag_seconds=100
    )
    ttl = int(clock.unix()) + 10
    client.put({"requestId": {"S": "r"}, "ttl": {"N": str(ttl)}, "updatedAt": {"S": text_at(0)}})
    clock.advance(10)
    assert client.item("r") is not None
    clock.advance(101)
    assert client.item("r") is None
