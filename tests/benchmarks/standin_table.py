"""The table that the stand-in serves: its conditions are evaluated by the model of the handlers' tests."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.handlers.model_table import ConditionRefused, ModelTable, StoredItem
from tests.transitions.world.statements import Insert, compiled

ACCOUNT = "123456789012"
REGION = "us-east-1"
TABLE = "bench-status"

Answer = tuple[int, dict[str, Any]]


class Refused(Exception):
    """An AWS error answer."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.answer: Answer = (400, {"__type": f"com.amazonaws#{code}", "message": code, **members})


class Table:
    """Items of exports whose last event is not deleted yet; the others are forgotten."""

    def __init__(self, on_write: Callable[[str, StoredItem], None]) -> None:
        self.applied = 0
        self.refused = 0
        self._model = ModelTable()
        self.items = self._model.items
        self._on_write = on_write

    def update_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One conditional write."""
        key = request["Key"]["requestId"]["S"]
        try:
            self._model.update_item(request)
        except ConditionRefused:
            self.refused += 1
            raise Refused("ConditionalCheckFailedException", **self._old_item(key, request)) from None
        self._written(key, self.items[key])
        return {}

    def batch_execute_statement(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """PartiQL INSERT (fails on an existing key) and UPDATE (fails on a missing one), each on its own."""
        return {"Responses": [self._statement(statement) for statement in request["Statements"]]}

    def get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The stored item."""
        item = self.items.get(request["Key"]["requestId"]["S"])
        return {"Item": item} if item else {}

    def batch_get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Up to 100 items."""
        [(name, asked)] = request["RequestItems"].items()
        found = [item for key in asked["Keys"] if (item := self.items.get(key["requestId"]["S"]))]
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def _statement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        made, parameters = compiled(statement["Statement"]), statement["Parameters"]
        if isinstance(made, Insert):
            new = made.item(parameters)
            key = str(new["requestId"]["S"])
            code = "ValidationError" if not key else "DuplicateItem" if key in self.items else None
        else:
            key = made.key(parameters)
            old = self.items.get(key)
            code = None if old and made.holds(old, parameters) else "ConditionalCheckFailed"
            new = made.changed(old, parameters) if old and not code else {}
        if code is None:
            self._written(key, new)
            return {"TableName": TABLE}
        self.refused += 1
        error = {"Code": code, "Message": code, **self._old_item(key, statement)}
        return {"TableName": TABLE, "Error": error}

    def _old_item(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = "ReturnValuesOnConditionCheckFailure" in request
        return {"Item": self.items[key]} if asked and key in self.items else {}

    def _written(self, key: str, item: StoredItem) -> None:
        self.applied += 1
        self.items[key] = item
        self._on_write(key, item)


def describe_table(request: Mapping[str, Any]) -> dict[str, Any]:
    """A table as `infra/data.yaml` has it."""
    name = request["TableName"]
    table = {
        "TableName": name,
        "TableArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}",
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "requestId", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "requestId", "AttributeType": "S"}],
    }
    return {"Table": table}
