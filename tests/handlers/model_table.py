"""A table in memory that executes UpdateItem's expressions and PartiQL, as far as the service uses them.

It knows DynamoDB's rules: only values of one type compare, what is missing compares with nothing, an INSERT
fails on a key that exists, an UPDATE never creates. `tests/transitions/test_modes_agree.py` holds it against
DynamoDB Local. Expressions are compiled once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

Value = Mapping[str, Any]
StoredItem = dict[str, Value]
Condition = Callable[[StoredItem, Any], bool]
Operand = Callable[[StoredItem, Any], Value | None]
Sets = list[tuple[str, Operand]]

_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|[#:]?\w+|[(),=<>?{}:]""")


class ConditionRefused(Exception):
    """A write was refused; `item` is the item as it was, `code` the error of a refused statement."""

    def __init__(self, item: StoredItem | None, code: str = "ConditionalCheckFailed") -> None:
        super().__init__(code)
        self.item = item
        self.code = code


class ModelTable:
    """Items by key.

    Args:
        items: what is stored.
        before_write: called with the key, the item before and the item after; may refuse the write.
    """

    def __init__(
        self,
        items: Mapping[str, StoredItem] | None = None,
        before_write: Callable[[str, StoredItem | None, StoredItem], None] = lambda *_: None,
    ) -> None:
        self.items: dict[str, StoredItem] = dict(items or {})
        self._before_write = before_write

    def update_item(self, arguments: Mapping[str, Any]) -> None:
        """Executes UpdateItem's arguments.

        Raises:
            ConditionRefused: if the condition does not hold.
        """
        names = arguments.get("ExpressionAttributeNames", {})
        values = arguments["ExpressionAttributeValues"]
        expressions = arguments["UpdateExpression"], arguments["ConditionExpression"]
        used = {token for text in expressions for token in _TOKEN.findall(text) if token[0] in "#:"}
        assert used == {*names, *values}, "DynamoDB refuses names and values that no expression uses"
        sets, condition = _update(*expressions, tuple(names.items()))
        self._write(arguments["Key"]["requestId"]["S"], sets, condition, values)

    def execute(self, text: str, parameters: Sequence[Value]) -> None:
        """Executes a PartiQL statement.

        Raises:
            ConditionRefused: if it is refused.
        """
        if text.startswith("INSERT"):
            new = dict(zip(_inserted(text), parameters, strict=True))
            key = new["requestId"]["S"]
            if not key:
                raise ConditionRefused(None, "ValidationError")
            if key in self.items:
                raise ConditionRefused(self.items[key], "DuplicateItem")
            self._store(key, None, new)
        else:
            sets, condition = _update_statement(text)
            self._write(parameters[len(sets)]["S"], sets, condition, parameters)

    def _write(self, key: str, sets: Sets, condition: Condition, values: Any) -> None:
        old = self.items.get(key)
        item = old or {}
        if not condition(item, values):
            raise ConditionRefused(old)
        changes: StoredItem = {}
        for name, operand in sets:
            value = operand(item, values)
            assert value is not None, "DynamoDB refuses to set what is missing"
            changes[name] = value
        self._store(key, old, {"requestId": {"S": key}, **item, **changes})

    def _store(self, key: str, old: StoredItem | None, new: StoredItem) -> None:
        self._before_write(key, old, new)
        self.items[key] = new


@cache
def _update(update: str, condition: str, names: tuple[tuple[str, str], ...]) -> tuple[Sets, Condition]:
    return _Compiler(update, dict(names)).sets(""), _Compiler(condition, dict(names)).condition()


@cache
def _update_statement(text: str) -> tuple[Sets, Condition]:
    compiler = _Compiler(text, {})
    for _ in ("UPDATE", "table"):
        compiler.take()
    return compiler.sets("WHERE"), compiler.condition()


@cache
def _inserted(text: str) -> list[str]:
    """The attributes' names of an INSERT, in the order of its parameters."""
    return re.findall(r"'(\w+)': \?", text)


class _Compiler:
    """Recursive descent over one expression or statement."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        self._place = 0
        self._parameters = 0
        self._names = names

    @property
    def _next(self) -> str:
        return self._tokens[self._place]

    def take(self, expected: str | None = None) -> str:
        token: str = self._next
        assert expected is None or token == expected, f"expected {expected}, found {token}"
        self._place += 1
        return token

    def sets(self, end: str) -> Sets:
        """`SET a = …, b = …`, or `SET` before each, until a word."""
        found = []
        while self._next != end:
            assert self.take() in {"SET", ","}
            name = self._path()
            self.take("=")
            found.append((name, self._operand()))
        self._place += bool(end)
        return found

    def condition(self) -> Condition:
        condition = self._either()
        assert not self._next, f"left over: {self._next}"
        return condition

    def _either(self) -> Condition:
        sides = self._separated("OR", self._all)
        return lambda item, values: any(side(item, values) for side in sides)

    def _all(self) -> Condition:
        sides = self._separated("AND", self._one)
        return lambda item, values: all(side(item, values) for side in sides)

    def _separated(self, word: str, part: Callable[[], Any]) -> list[Any]:
        parts = [part()]
        while self._next == word:
            self.take()
            parts.append(part())
        return parts

    def _one(self) -> Condition:
        if self._next == "(":
            self.take()
            condition = self._either()
            self.take(")")
            return condition
        if self._next in {"attribute_exists", "attribute_not_exists"}:
            wanted = self.take() == "attribute_exists"
            [name] = self._arguments(self._path)
            return lambda item, _: (name in item) is wanted
        if self._next == "attribute_type":
            self.take()
            operand, kind = self._arguments(self._operand)
            return lambda item, values: list(operand(item, values) or {}) == [kind(item, values)["S"]]
        left = self._operand()
        match self.take():
            case "=" | ">" as sign:
                right, result = self._operand(), 0 if sign == "=" else 1
                return lambda item, values: order(left(item, values), right(item, values)) == result
            case "BETWEEN":
                low = self._operand()
                self.take("AND")
                high = self._operand()
                return lambda item, values: (
                    order(left(item, values), low(item, values)) in {0, 1}
                    and order(left(item, values), high(item, values)) in {0, -1}
                )
            case "IN":
                choices = self._arguments(self._operand)
                return lambda item, values: any(
                    order(left(item, values), choice(item, values)) == 0 for choice in choices
                )
            case "IS":
                self.take("MISSING")
                return lambda item, values: left(item, values) is None
            case other:
                raise AssertionError(f"no comparison: {other}")

    def _arguments(self, part: Callable[[], Any]) -> list[Any]:
        self.take("(")
        found = self._separated(",", part)
        self.take(")")
        return found

    def _operand(self) -> Operand:
        if self._next == "if_not_exists":
            self.take()
            self.take("(")
            name = self._path()
            self.take(",")
            otherwise = self._operand()
            self.take(")")
            return lambda item, values: item.get(name, otherwise(item, values))
        token = self._next
        if token == "?":
            place = self._parameters
            self._parameters += 1
            self.take()
            return lambda _, values: values[place]
        if token.startswith(":"):
            self.take()
            return lambda _, values: values[token]
        if token.startswith("'"):
            constant = {"S": self.take().strip("'")}
            return lambda _item, _values: constant
        path = self._path()
        return lambda item, _: item.get(path)

    def _path(self) -> str:
        token = self.take()
        assert re.fullmatch(r'#?\w+|"\w+"', token), f"no attribute: {token}"
        return self._names[token] if token.startswith("#") else token.strip('"')


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
