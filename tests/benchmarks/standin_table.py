"""The table that the stand-in serves: its conditions are evaluated by the model of the handlers' tests."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.handlers.model_table import ConditionRefused, ModelTable, StoredItem

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
        self._on_write = on_write
        self._model = ModelTable(before_write=self._written)
        self.items = self._model.items

    def update_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One conditional write."""
        try:
            self._model.update_item(request)
        except ConditionRefused as refused:
            raise Refused("ConditionalCheckFailedException", **self._refused(refused, request)) from None
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
        try:
            self._model.execute(statement["Statement"], statement["Parameters"])
        except ConditionRefused as refused:
            error = {"Code": refused.code, "Message": refused.code, **self._refused(refused, statement)}
            return {"TableName": TABLE, "Error": error}
        return {"TableName": TABLE}

    def _refused(self, refused: ConditionRefused, request: Mapping[str, Any]) -> dict[str, Any]:
        self.refused += 1
        asked = "ReturnValuesOnConditionCheckFailure" in request
        return {"Item": refused.item} if asked and refused.item else {}

    def _written(self, key: str, _old: StoredItem | None, item: StoredItem) -> None:
        self.applied += 1
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
