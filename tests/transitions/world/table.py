"""The status table in memory, with every law about its items checked at each write."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from tests.handlers.model_table import ConditionRefused, ModelTable, StoredItem
from tests.transitions.world.clock import SimulatedClock
from tests.transitions.world.faults import Faults, client_error
from tests.transitions.world.statements import Insert, compiled, parameters_of

OnWrite = Callable[[str, StoredItem | None, StoredItem], None]


class SimulatedDynamoDb:
    """The client that the service gets.

    Args:
        clock: the world's time.
        faults: decides how each call ends.
        rng: the world's randomness.
        on_write: called with the key, the item before and the item after each write.
        deletion_lag_seconds: TTL deletes an item at most so late.
        tells_items: whether a refused statement brings the item, as AWS's does and DynamoDB Local's does not.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        faults: Faults,
        rng: random.Random,
        on_write: OnWrite,
        *,
        deletion_lag_seconds: float = 300.0,
        tells_items: bool = True,
    ) -> None:
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.index_types: dict[str, str] = {}
        """Types that indexes of the table want for attributes, such as `{"fileName": "N"}`."""
        self._clock = clock
        self._faults = faults
        self._rng = rng
        self._on_write = on_write
        self._deletion_lag_seconds = deletion_lag_seconds
        self._tells_items = tells_items
        self._table = ModelTable()
        self._deleted_at: dict[str, float] = {}

    def item(self, key: str) -> StoredItem | None:
        """The item as a strongly consistent read sees it."""
        at = self._deleted_at.get(key)
        if at is not None and at <= self._clock.unix():
            self._table.items.pop(key, None)
            del self._deleted_at[key]
        return self._table.items.get(key)

    def put(self, item: StoredItem) -> None:
        """Stores an item as it is, as another writer would."""
        self._keep(item["requestId"]["S"], item)

    def update_item(self, **request: Any) -> dict[str, Any]:
        """A conditional write."""
        return self._call("UpdateItem", lambda: self._update_item(request))

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        """Up to 25 conditional statements, each on its own."""
        assert 1 <= len(request["Statements"]) <= 25

        def effect() -> dict[str, Any]:
            return {"Responses": [self._statement(each) for each in request["Statements"]]}

        return self._call("BatchExecuteStatement", effect)

    def get_item(self, **request: Any) -> dict[str, Any]:
        """One item."""

        def effect() -> dict[str, Any]:
            item = self.item(request["Key"]["requestId"]["S"])
            return {"Item": item} if item else {}

        return self._call("GetItem", effect)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        """Up to 100 items; some keys may be left unprocessed."""

        def effect() -> dict[str, Any]:
            [(name, asked)] = request["RequestItems"].items()
            keys = asked["Keys"]
            assert 1 <= len(keys) <= 100
            assert len({key["requestId"]["S"] for key in keys}) == len(keys), "DynamoDB wants distinct keys"
            cut = len(keys) if self._rng.random() < 0.9 else self._rng.randint(0, len(keys))
            found = [item for key in keys[:cut] if (item := self.item(key["requestId"]["S"]))]
            left = {name: {**asked, "Keys": keys[cut:]}} if cut < len(keys) else {}
            return {"Responses": {name: found}, "UnprocessedKeys": left}

        return self._call("BatchGetItem", effect)

    def describe_table(self, **request: Any) -> dict[str, Any]:
        """The table as `infra/data.yaml` has it, with its indexes."""
        return self._call("DescribeTable", lambda: {"Table": self._description(request["TableName"])})

    def _description(self, name: str) -> dict[str, Any]:
        types = {"requestId": "S", **self.index_types}
        return {
            "TableName": name,
            "TableArn": f"arn:aws:dynamodb:us-east-1:123456789012:table/{name}",
            "TableStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": "requestId", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": attribute, "AttributeType": kind} for attribute, kind in types.items()
            ],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": f"by-{attribute}",
                    "IndexStatus": "ACTIVE",
                    "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"}],
                }
                for attribute in self.index_types
            ],
        }

    def _call(self, operation: str, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.calls[operation] += 1
        return self._faults.around(operation, effect)

    def _update_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        key = request["Key"]["requestId"]["S"]
        old = self.item(key)
        trial = ModelTable({} if old is None else {key: old})
        try:
            trial.update_item(request)
        except ConditionRefused as refused:
            members: dict[str, Any] = {"Item": refused.item} if refused.item else {}
            raise client_error("UpdateItem", "ConditionalCheckFailedException", **members) from None
        new = trial.items[key]
        if self._index_refuses(new):
            raise client_error("UpdateItem", "ValidationException")
        self._store(key, old, new)
        return {}

    def _statement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        made, parameters = compiled(statement["Statement"]), parameters_of(statement)
        if isinstance(made, Insert):
            new = made.item(parameters)
            key = new["requestId"]["S"]
            if not key:
                return self._error("ValidationError", statement, None)
            old = self.item(key)
            if old is not None:
                return self._error("DuplicateItem", statement, old)
        else:
            key = made.key(parameters)
            old = self.item(key)
            if old is None or not made.holds(old, parameters):
                return self._error("ConditionalCheckFailed", statement, old)
            new = made.changed(old, parameters)
        if self._index_refuses(new):
            return self._error("ValidationError", statement, None)
        self._store(key, old, new)
        return {"TableName": "simulated"}

    def _error(self, code: str, statement: Mapping[str, Any], item: StoredItem | None) -> dict[str, Any]:
        error: dict[str, Any] = {"Code": code, "Message": code}
        asked = statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        if item is not None and asked and self._tells_items:
            error["Item"] = item
        return {"TableName": "simulated", "Error": error}

    def _index_refuses(self, item: StoredItem) -> bool:
        return any(name in item and list(item[name]) != [kind] for name, kind in self.index_types.items())

    def _store(self, key: str, old: StoredItem | None, new: StoredItem) -> None:
        self._on_write(key, old, new)
        self._keep(key, new)

    def _keep(self, key: str, new: StoredItem) -> None:
        self._table.items[key] = new
        if "N" in new.get("ttl", {}):
            lag = self._rng.uniform(0, self._deletion_lag_seconds)
            self._deleted_at.setdefault(key, float(new["ttl"]["N"]) + lag)
