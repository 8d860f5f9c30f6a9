"""A leases table in memory: the writes and conditions that the service makes, and answers that get lost."""

import copy
import re
import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ReadTimeoutError

from tests.simulated_stream.client import error

Row = dict[str, Any]


class SimulatedRows:
    """Answers as boto3's DynamoDB client does for one table with the partition key `leaseKey`."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.lock = threading.RLock()
        self.lost_answers = 0
        """So many of the next writes happen, but their answers do not arrive."""
        self.lost_requests = 0
        """So many of the next calls time out without having happened."""
        self.after_write: Callable[[str, Row | None, Row | None], None] = lambda _key, _before, _after: None

    def scan(self, **arguments: Any) -> dict[str, Any]:
        """Scan, in pages of seven rows."""
        assert arguments["ConsistentRead"], "lineage needs consistent reads"
        self._lose_request()
        with self.lock:
            keys = sorted(self.rows)
            start = arguments.get("ExclusiveStartKey")
            begin = next((i for i, key in enumerate(keys) if start and key > start["leaseKey"]["S"]), 0)
            if start and begin == 0:
                return {"Items": []}
            page = keys[begin : begin + 7]
            answer: dict[str, Any] = {"Items": [copy.deepcopy(self.rows[key]) for key in page]}
            if begin + 7 < len(keys):
                answer["LastEvaluatedKey"] = {"leaseKey": {"S": page[-1]}}
            return answer

    def get_item(self, **arguments: Any) -> dict[str, Any]:
        """GetItem."""
        with self.lock:
            row = self.rows.get(arguments["Key"]["leaseKey"]["S"])
            return {"Item": copy.deepcopy(row)} if row else {}

    def put_item(self, **arguments: Any) -> dict[str, Any]:
        """PutItem with `attribute_not_exists(leaseKey)`."""
        row: Row = copy.deepcopy(arguments["Item"])
        return self._write("PutItem", row["leaseKey"]["S"], arguments, lambda _old: row)

    def update_item(self, **arguments: Any) -> dict[str, Any]:
        """UpdateItem with SET, REMOVE or both; without a condition it would make a row, as DynamoDB does."""
        key = arguments["Key"]["leaseKey"]["S"]

        def change(old: Row | None) -> Row:
            row = copy.deepcopy(old) or dict(arguments["Key"])
            sets, _, removes = arguments["UpdateExpression"].partition("REMOVE ")
            for part in filter(None, sets.removeprefix("SET ").rstrip().split(", ")):
                name, value = part.split(" = ")
                row[name] = copy.deepcopy(arguments["ExpressionAttributeValues"][value])
            for name in filter(None, removes.split(", ")):
                row.pop(name, None)
            return row

        return self._write("UpdateItem", key, arguments, change)

    def delete_item(self, **arguments: Any) -> dict[str, Any]:
        """DeleteItem."""
        return self._write("DeleteItem", arguments["Key"]["leaseKey"]["S"], arguments, lambda _old: None)

    def _write(
        self, operation: str, key: str, arguments: dict[str, Any], change: Callable[[Row | None], Row | None]
    ) -> dict[str, Any]:
        self._lose_request()
        with self.lock:
            old = self.rows.get(key)
            if not self._holds(arguments["ConditionExpression"], old, arguments):
                wants_old = arguments.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
                details = {"Item": copy.deepcopy(old)} if old and wants_old else {}
                raise error("ConditionalCheckFailedException", operation, **details)
            new = change(old)
            if new is None:
                del self.rows[key]
            else:
                self.rows[key] = new
            self.after_write(key, old, new)
            if self.lost_answers > 0:
                self.lost_answers -= 1
                raise ReadTimeoutError(endpoint_url="simulated")
            return {"Attributes": copy.deepcopy(new)} if arguments.get("ReturnValues") == "ALL_NEW" else {}

    def _lose_request(self) -> None:
        with self.lock:
            if self.lost_requests > 0:
                self.lost_requests -= 1
                raise ReadTimeoutError(endpoint_url="simulated")

    @staticmethod
    def _holds(condition: str, row: Row | None, arguments: dict[str, Any]) -> bool:
        for clause in condition.split(" AND "):
            absent = re.fullmatch(r"attribute_not_exists\((\w+)\)", clause)
            if absent:
                if row is not None and absent[1] in row:
                    return False
                continue
            equal = re.fullmatch(r"(\w+) = (:\w+)", clause)
            assert equal, f"the simulated table does not know the condition {clause}"
            if row is None or row.get(equal[1]) != arguments["ExpressionAttributeValues"][equal[2]]:
                return False
        return True
