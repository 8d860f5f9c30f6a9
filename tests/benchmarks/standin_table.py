"""The table that the stand-in serves: every conditional write decided by the life of an export."""

import re
from collections.abc import Callable, Mapping
from typing import Any

ACCOUNT = "123456789012"
REGION = "us-east-1"
TABLE = "bench-status"
FILE_NAME = "report.csv"
CREATED_AT = "2026-11-22T10:00:00.000Z"  # of every stored item: nothing here depends on it
RANKS = {"pending": 0, "processing": 1, "completed": 2, "failed": 2}
STATUS_ASSIGNED = re.compile(r"(#?\w+)\s*=\s*(:\w+)")

Answer = tuple[int, dict[str, Any]]
Item = dict[str, dict[str, str]]


class Refused(Exception):
    """An AWS error answer."""

    def __init__(self, code: str, **members: Any) -> None:
        super().__init__(code)
        self.answer: Answer = (400, {"__type": f"com.amazonaws#{code}", "message": code, **members})


class Table:
    """Items of exports whose last event is not deleted yet; the others are forgotten."""

    def __init__(self) -> None:
        self.applied = 0
        self.refused = 0
        self.on_move: Callable[[str, Item], None] = lambda _key, _item: None
        self._items: dict[str, Item] = {}

    def forget(self, key: str) -> None:
        """Nothing more comes of this export."""
        self._items.pop(key, None)

    def item(self, key: str) -> Item | None:
        """The stored item."""
        return self._items.get(key)

    def update_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One conditional write. What it sets `status` to decides; one that sets none fills in something."""
        key = request["Key"]["requestId"]["S"]
        names, values = request.get("ExpressionAttributeNames", {}), request["ExpressionAttributeValues"]
        assigned = STATUS_ASSIGNED.findall(request["UpdateExpression"])
        status = next((values[value]["S"] for name, value in assigned if names.get(name) == "status"), None)
        creates = "attribute_not_exists(requestId)" in request["ConditionExpression"]
        if status is None or self._move(key, status, creates=creates, names_file=":file" in str(assigned)):
            return {}
        raise Refused("ConditionalCheckFailedException", **self._old_item(key, request))

    def batch_execute_statement(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """PartiQL INSERT (fails on an existing key) and UPDATE (fails on a missing one), each on its own."""
        return {"Responses": [self._statement(statement) for statement in request["Statements"]]}

    def get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The stored item."""
        item = self._items.get(request["Key"]["requestId"]["S"])
        return {"Item": item} if item else {}

    def batch_get_item(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Up to 100 items."""
        [(name, asked)] = request["RequestItems"].items()
        found = [item for key in asked["Keys"] if (item := self._items.get(key["requestId"]["S"]))]
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def _statement(self, statement: Mapping[str, Any]) -> dict[str, Any]:
        text, texts = (
            statement["Statement"],
            [parameter.get("S", "") for parameter in statement["Parameters"]],
        )
        status = next((text for text in texts if text in RANKS), "")  # SET comes before WHERE
        key = next((text for text in texts if text.startswith("bench-")), "")
        inserts = text.startswith("INSERT")
        names_file = 'SET "fileName"' in text or "'fileName':" in text
        stored = self._items.get(key, {}).get("fileName", {}).get("S")
        kept = names_file and stored is not None and stored not in texts  # a SET would overwrite it
        if inserts and not key:
            return {"TableName": TABLE, "Error": {"Code": "ValidationError", "Message": "empty key"}}
        if inserts and key in self._items:
            error = {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
        elif kept or not self._move(key, status, creates=inserts, names_file=names_file):
            error = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        else:
            return {"TableName": TABLE}
        return {"TableName": TABLE, "Error": {**error, **self._old_item(key, statement)}}

    def _old_item(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        asked = "ReturnValuesOnConditionCheckFailure" in request
        return {"Item": self._items[key]} if asked and key in self._items else {}

    def _move(self, key: str, status: str, *, creates: bool, names_file: bool) -> bool:
        item = self._items.get(key)
        if (item is None and not creates) or (item and RANKS[item["status"]["S"]] >= RANKS[status]):
            self.refused += 1
            return False
        self.applied += 1
        file_name = {"fileName": {"S": FILE_NAME}} if names_file or (item and "fileName" in item) else {}
        self._items[key] = {
            "requestId": {"S": key},
            "status": {"S": status},
            "createdAt": {"S": CREATED_AT},
            "updatedAt": {"S": CREATED_AT},
            "ttl": {"N": "4102444800"},
            **file_name,
        }
        self.on_move(key, self._items[key])
        return True


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
