"""DynamoDB's client with the status table in memory."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from tests.handlers.model_table import ConditionRefused, ModelTable, StoredItem
from tests.transitions.world.clock import SimulatedClock
from tests.transitions.world.faults import Faults, client_error

OnWrite = Callable[[str, StoredItem | None, StoredItem], None]


class SimulatedDynamoDb:
    """The client that the service gets.

    Args:
        on_write: called with the key, the item before and the item after each write.
        faults: decides how each call ends; without it all calls work.
        clock, rng: the world's time and randomness: items are deleted some time after their ttl, and some
            keys of a look-up are not processed. Without them neither happens.
        deletion_lag_seconds: TTL deletes an item at most so late.
        tells_items: whether a refused statement brings the item, as AWS's does and DynamoDB Local's does not.
    """

    def __init__(
        self,
        on_write: OnWrite = lambda *_: None,
        faults: Faults | None = None,
        clock: SimulatedClock | None = None,
        rng: random.Random | None = None,
        *,
        deletion_lag_seconds: float = 300.0,
        tells_items: bool = True,
    ) -> None:
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.index_types: dict[str, str] = {}
        """Types that indexes of the table want for attributes, such as `{"fileName": "N"}`."""
        self.on_write = on_write
        self.table = ModelTable(before_write=self._before_write)
        self._faults = faults
        self._clock = clock
        self._rng = rng
        self._deletion_lag_seconds = deletion_lag_seconds
        self._tells_items = tells_items
        self._deleted_at: dict[str, float] = {}

    def item(self, key: str) -> StoredItem | None:
        """The item as a strongly consistent read sees it."""
        at = self._deleted_at.get(key)
        if self._clock and at is not None and at <= self._clock.unix():
            self.table.items.pop(key, None)
            del self._deleted_at[key]
        return self.table.items.get(key)

    def put(self, item: StoredItem) -> None:
        """Stores an item as it is, as another writer would."""
        key = item["requestId"]["S"]
        self.table.items[key] = item
        self._delete_later(key, item)

    def update_item(self, **request: Any) -> dict[str, Any]:
        """A conditional write."""
        return self._call("UpdateItem", lambda: self._update_item(request))

    def batch_execute_statement(self, **request: Any) -> dict[str, Any]:
        """Up to 25 conditional statements, each on its own."""
        assert 1 <= len(request["Statements"]) <= 25

        def effect() -> dict[str, Any]:
            return {"Responses": [self._statement(each) for each in request["Statements"]]}

        return self._call("BatchExecuteStatement", effect)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        """Up to 100 items; some keys may be left unprocessed."""

        def effect() -> dict[str, Any]:
            [(name, asked)] = request["RequestItems"].items()
            keys = asked["Keys"]
            assert 1 <= len(keys) <= 100
            assert len({key["requestId"]["S"] for key in keys}) == len(keys), "DynamoDB wants distinct keys"
            cut = len(keys)
            if self._rng and self._rng.random() >= 0.9:
                cut = self._rng.randint(0, cut)
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
        return self._faults.around(operation, effect) if self._faults else effect()

    def _update_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self.item(request["Key"]["requestId"]["S"])  # which may be gone by now
        try:
            self.table.update_item(request)
        except ConditionRefused as refused:
            if refused.code == "ValidationError":
                raise client_error("UpdateItem", "ValidationException") from None
            asked = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            members: dict[str, Any] = {"Item": refused.item} if refused.item and asked else {}
            raise client_error("UpdateItem", "ConditionalCheckFailedException", **members) from None
        return {}

    def _statement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        for key in [*self._deleted_at]:
            self.item(key)
        try:
            self.table.execute(statement["Statement"], statement["Parameters"])
        except ConditionRefused as refused:
            error: dict[str, Any] = {"Code": refused.code, "Message": refused.code}
            asked = statement.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
            if refused.item is not None and asked and self._tells_items:
                error["Item"] = refused.item
            return {"TableName": "simulated", "Error": error}
        return {"TableName": "simulated"}

    def _before_write(self, key: str, old: StoredItem | None, new: StoredItem) -> None:
        if any(name in new and list(new[name]) != [kind] for name, kind in self.index_types.items()):
            raise ConditionRefused(None, "ValidationError")
        self.on_write(key, old, new)
        self._delete_later(key, new)

    def _delete_later(self, key: str, item: StoredItem) -> None:
        if self._rng and "N" in item.get("ttl", {}):
            lag = self._rng.uniform(0, self._deletion_lag_seconds)
            self._deleted_at.setdefault(key, float(item["ttl"]["N"]) + lag)
