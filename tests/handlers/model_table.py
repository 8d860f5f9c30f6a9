"""A table in memory that executes UpdateItem's expressions, as far as the service uses them.

It knows DynamoDB's rules for comparisons (only values of one type compare, what is missing compares with
nothing) and is itself held against DynamoDB Local in `tests/transitions/test_model_table.py`.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

Value = Mapping[str, Any]
StoredItem = dict[str, Value]

_TOKEN = re.compile(r"[#:]?\w+|[(),=<>]")
_WORDS = {"AND", "OR", "BETWEEN", "IN", "SET"}


class ConditionRefused(Exception):
    """The condition did not hold; `item` is the item as it was."""

    def __init__(self, item: StoredItem | None) -> None:
        super().__init__("the conditional request failed")
        self.item = item


class ModelTable:
    """Items by key."""

    def __init__(self, items: Mapping[str, StoredItem] | None = None) -> None:
        self.items: dict[str, StoredItem] = dict(items or {})

    def update_item(self, arguments: Mapping[str, Any]) -> None:
        """Executes UpdateItem's arguments.

        Raises:
            ConditionRefused: if the condition does not hold.
        """
        key = arguments["Key"]["requestId"]["S"]
        old = self.items.get(key)
        reader = _Reader(
            old or {}, arguments.get("ExpressionAttributeNames", {}), arguments["ExpressionAttributeValues"]
        )
        if not reader.condition(arguments["ConditionExpression"]):
            raise ConditionRefused(old)
        changes = reader.update(arguments["UpdateExpression"])
        assert reader.used == set(arguments.get("ExpressionAttributeNames", {})) | set(
            arguments["ExpressionAttributeValues"]
        ), "DynamoDB refuses names and values that no expression uses"
        self.items[key] = {"requestId": {"S": key}, **(old or {}), **changes}


class _Reader:
    """Recursive descent over one request's expressions, evaluated against one item."""

    def __init__(self, item: StoredItem, names: Mapping[str, str], values: Mapping[str, Value]) -> None:
        self._item = item
        self._names = names
        self._values = values
        self._tokens: Iterator[str] = iter(())
        self._next = ""
        self.used: set[str] = set()

    def condition(self, expression: str) -> bool:
        self._begin(expression)
        holds = self._either()
        assert not self._next, f"left over: {self._next}"
        return holds

    def update(self, expression: str) -> StoredItem:
        self._begin(expression)
        self._take("SET")
        changes: StoredItem = {}
        while True:
            name = self._path()
            self._take("=")
            value = self._operand()
            assert value is not None, "DynamoDB refuses to set what is missing"
            changes[name] = value
            if self._next != ",":
                assert not self._next, f"left over: {self._next}"
                return changes
            self._take(",")

    def _begin(self, expression: str) -> None:
        self._tokens = iter(_TOKEN.findall(expression))
        self._advance()

    def _advance(self) -> str:
        token, self._next = self._next, next(self._tokens, "")
        return token

    def _take(self, expected: str) -> None:
        token = self._advance()
        assert token == expected, f"expected {expected}, found {token}"

    def _either(self) -> bool:
        holds = self._all()
        while self._next == "OR":
            self._advance()
            holds = self._all() or holds
        return holds

    def _all(self) -> bool:
        holds = self._one()
        while self._next == "AND":
            self._advance()
            holds = self._one() and holds
        return holds

    def _one(self) -> bool:
        if self._next == "(":
            self._advance()
            holds = self._either()
            self._take(")")
            return holds
        if self._next in {"attribute_exists", "attribute_not_exists"}:
            function = self._advance()
            self._take("(")
            present = self._path() in self._item
            self._take(")")
            return present == (function == "attribute_exists")
        if self._next == "attribute_type":
            self._advance()
            self._take("(")
            value = self._operand()
            self._take(",")
            kind = self._operand()
            self._take(")")
            return kind is not None and list(value or {}) == [kind["S"]]
        left = self._operand()
        match self._advance():
            case "=":
                return order(left, self._operand()) == 0
            case ">":
                return order(left, self._operand()) == 1
            case "BETWEEN":
                low = self._operand()
                self._take("AND")
                high = self._operand()
                return order(left, low) in {0, 1} and order(left, high) in {0, -1}
            case "IN":
                self._take("(")
                found = order(left, self._operand()) == 0
                while self._next == ",":
                    self._advance()
                    found = order(left, self._operand()) == 0 or found
                self._take(")")
                return found
            case other:
                raise AssertionError(f"no comparison: {other}")

    def _operand(self) -> Value | None:
        if self._next == "if_not_exists":
            self._advance()
            self._take("(")
            name = self._path()
            self._take(",")
            otherwise = self._operand()
            self._take(")")
            return self._item.get(name, otherwise)
        if self._next.startswith(":"):
            token = self._advance()
            self.used.add(token)
            return self._values[token]
        return self._item.get(self._path())

    def _path(self) -> str:
        token = self._advance()
        assert token not in _WORDS
        if token.startswith("#"):
            self.used.add(token)
            return self._names[token]
        return token


def order(left: Value | None, right: Value | None) -> int | None:
    """-1, 0 or 1; None where the two do not compare."""
    if left is None or right is None or left.keys() != right.keys():
        return None
    [(kind, one)], [(_, other)] = left.items(), right.items()
    match kind:
        case "N":
            first, second = Decimal(one), Decimal(other)
            return (first > second) - (first < second)
        case "S":
            mine, theirs = str(one).encode(), str(other).encode()
            return (mine > theirs) - (mine < theirs)
        case _:
            return None
