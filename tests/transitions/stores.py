"""Real tables for tests, and a DynamoDB client that fails by plan."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from handlers.transitions import Change, Outcome, fold
from processor.transitions.applier import Applier
from processor.transitions.status_table import StatusTable
from tests.handlers.making import TTL_SECONDS, at, event
from tests.resources import ClientFactory, item_of
from tests.transitions.rig import Clock, delivery, settle, status_table_on


@dataclass(frozen=True)
class Store:
    """A table on one of the engines."""

    at: ClientFactory
    table: str
    modes: tuple[str, ...] = ("single",)

    @property
    def client(self) -> Any:
        return self.at("dynamodb")

    def put(self, stored: Mapping[str, Any]) -> None:
        self.client.put_item(TableName=self.table, Item=stored)

    def item(self, key: str = "req-1") -> dict[str, Any] | None:
        return item_of(self.at, self.table, key)


class Faulty:
    """A DynamoDB client that fails by plan: an error before a call, or after it took effect."""

    def __init__(self, client: Any, *plan: tuple[str, Exception] | None, calls: str = "") -> None:
        self._client = client
        self._plan = list(plan)
        self._only = calls
        self.calls: list[str] = []
        self.before_call: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def faulty(**arguments: Any) -> Any:
            self.calls.append(name)
            self.before_call()
            fault = self._plan.pop(0) if self._plan and (not self._only or name == self._only) else None
            if fault and fault[0] == "before":
                raise fault[1]
            if fault:  # it takes effect, or is refused, and nobody hears of it
                with suppress(ClientError):
                    method(**arguments)
                raise fault[1]
            return method(**arguments)

        faulty.__name__ = name
        return faulty


def table_on(client: Any, store: Store, clock: Clock) -> StatusTable:
    return status_table_on(client, store.table, clock)


def change(status: str = "pending", **changes: Any) -> Change:
    _, made = fold([event(status, **changes)], TTL_SECONDS)
    return made


def outcomes(applier: Applier, *bodies: str, now: float = 60) -> list[Outcome]:
    """What becomes of messages with these bodies that arrive together."""
    return settle(applier, [[delivery(text, now=at(now)) for text in bodies]])
