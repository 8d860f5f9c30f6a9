"""PartiQL as far as the service writes it: INSERT of a whole item, and UPDATE of one by its key.

Texts are compiled once. It knows DynamoDB's rules: an INSERT fails on an existing key, an UPDATE never
creates, and what is missing compares with nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from tests.handlers.model_table import StoredItem, Value, order

_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|[A-Za-z_]+|[<>]=?|[(),=?{}:]""")
_FUNCTIONS = {"attribute_type"}

Parameters = Sequence[Value]
Condition = Callable[[StoredItem, Parameters], bool]
Operand = Callable[[StoredItem, Parameters], Value | None]


class Insert:
    """A compiled INSERT: the attributes' names, in the order of the parameters."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def item(self, parameters: Parameters) -> StoredItem:
        """The item to store."""
        return dict(zip(self._names, parameters, strict=True))


class Update:
    """A compiled UPDATE: what it sets, and its conditions, one of which names the key."""

    def __init__(
        self, sets: Sequence[tuple[str, Operand]], key: Operand, conditions: Sequence[Condition]
    ) -> None:
        self._sets = sets
        self._key = key
        self._conditions = conditions

    def key(self, parameters: Parameters) -> str:
        """The requestId that the statement names."""
        value = self._key({}, parameters)
        assert value is not None
        return str(value["S"])

    def holds(self, item: StoredItem, parameters: Parameters) -> bool:
        """Whether every condition holds."""
        return all(condition(item, parameters) for condition in self._conditions)

    def changed(self, item: StoredItem, parameters: Parameters) -> StoredItem:
        """The item after the statement."""
        new = dict(item)
        for name, operand in self._sets:
            value = operand(item, parameters)
            assert value is not None, "DynamoDB refuses to set what is missing"
            new[name] = value
        return new


@cache
def compiled(text: str) -> Insert | Update:
    """Compiles a statement.

    Raises:
        AssertionError: if the service writes something that this does not know.
    """
    return _Compiler(text).statement()


class _Compiler:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        self._place = 0
        self._parameters = 0

    def statement(self) -> Insert | Update:
        made = self._insert() if self._next == "INSERT" else self._update()
        assert self._next == "", f"left over: {self._next}"
        return made

    @property
    def _next(self) -> str:
        return self._tokens[self._place]

    def _take(self, expected: str | None = None) -> str:
        token: str = self._next
        assert expected is None or token == expected, f"expected {expected}, found {token}"
        self._place += 1
        return token

    def _insert(self) -> Insert:
        for word in ("INSERT", "INTO"):
            self._take(word)
        self._take()
        self._take("VALUE")
        self._take("{")
        names = []
        while self._next != "}":
            names.append(self._take().strip("'"))
            self._take(":")
            self._take("?")
            if self._next == ",":
                self._take()
        self._take("}")
        return Insert(names)

    def _update(self) -> Update:
        self._take("UPDATE")
        self._take()
        sets: list[tuple[str, Operand]] = []
        while self._next == "SET":
            self._take()
            name = self._take().strip('"')
            self._take("=")
            sets.append((name, self._operand()))
        self._take("WHERE")
        self._take('"requestId"')
        self._take("=")
        key = self._operand()
        conditions = []
        while self._next == "AND":
            self._take()
            conditions.append(self._one())
        return Update(sets, key, conditions)

    def _either(self) -> Condition:
        sides = [self._one()]
        while self._next == "OR":
            self._take()
            sides.append(self._one())
        return lambda item, parameters: any(side(item, parameters) for side in sides)

    def _one(self) -> Condition:
        if self._next == "(":
            self._take()
            condition = self._either()
            self._take(")")
            return condition
        if self._next in _FUNCTIONS:
            self._take()
            self._take("(")
            name = self._take().strip('"')
            self._take(",")
            kind = self._take().strip("'")
            self._take(")")
            return lambda item, _: list(item.get(name, {})) == [kind]
        left = self._operand()
        match self._take():
            case "=":
                right = self._operand()
                return lambda item, values: order(left(item, values), right(item, values)) == 0
            case ">":
                right = self._operand()
                return lambda item, values: order(left(item, values), right(item, values)) == 1
            case "BETWEEN":
                low = self._operand()
                self._take("AND")
                high = self._operand()
                return lambda item, values: (
                    order(left(item, values), low(item, values)) in {0, 1}
                    and order(left(item, values), high(item, values)) in {0, -1}
                )
            case "IN":
                self._take("(")
                choices = [self._operand()]
                while self._next == ",":
                    self._take()
                    choices.append(self._operand())
                self._take(")")
                return lambda item, values: any(
                    order(left(item, values), choice(item, values)) == 0 for choice in choices
                )
            case "IS":
                self._take("MISSING")
                return lambda item, values: left(item, values) is None
            case other:
                raise AssertionError(f"no comparison: {other}")

    def _operand(self) -> Operand:
        token = self._take()
        if token == "?":
            index = self._parameters
            self._parameters += 1
            return lambda _, parameters: parameters[index]
        if token.startswith("'"):
            constant = {"S": token.strip("'")}
            return lambda _item, _parameters: constant
        assert token.startswith('"'), f"no operand: {token}"
        name = token.strip('"')
        return lambda item, _: item.get(name)


def parameters_of(statement: Mapping[str, Any]) -> Parameters:
    """The statement's parameters."""
    return tuple(statement.get("Parameters", ()))
