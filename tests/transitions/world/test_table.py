"""The simulated table deletes what has expired. That it writes as DynamoDB does: `../test_modes_agree.py`."""

import random

from tests.handlers.making import text_at
from tests.transitions.world.clock import SimulatedClock
from tests.transitions.world.table import SimulatedDynamoDb


def test_an_expired_item_is_gone_some_time_after_its_ttl() -> None:
    clock = SimulatedClock()
    client = SimulatedDynamoDb(clock=clock, rng=random.Random(1), deletion_lag_seconds=100)
    ttl = int(clock.unix()) + 10
    client.put({"requestId": {"S": "r"}, "ttl": {"N": str(ttl)}, "updatedAt": {"S": text_at(0)}})
    clock.advance(10)
    assert client.item("r") is not None
    clock.advance(101)
    assert client.item("r") is None
