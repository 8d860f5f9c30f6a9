"""What tests of the transitions pipeline share: messages, a clock that stands still, tables that can fail."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from handlers.events import decode
from handlers.transitions import Change, Outcome, fold
from processor.observability.health import Health
from processor.observability.metrics import Metric, Metrics
from processor.settings import Settings
from processor.transitions.applier import Applier, Delivery
from processor.transitions.context import Clocks, PipelineContext
from processor.transitions.messages import Message
from processor.transitions.results import EventResult
from processor.transitions.status_table import StatusTable
from processor.transitions.write_modes import WriteMode
from processor.transitions.writers import Writer
from tests.handlers.making import TTL_SECONDS, at, event
from tests.resources import ClientFactory, item_of
from tests.transitions.world.faults import client_error

FAR_DEADLINE = float("inf")
MESSAGE_NUMBERS = count(1)


class Clock:
    """A clock that stands until a test sets it, in seconds after the request of the export."""

    def __init__(self, seconds: float = 60) -> None:
        self.seconds = seconds

    def __call__(self) -> datetime:
        return at(self.seconds)


class NoWaiting(threading.Event):
    """An event whose waits are over at once, so that tries follow each other without a pause."""

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set."""
        return self.is_set()


def context(
    clock: Callable[[], datetime] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    *,
    health_file: Path = Path("health"),
    ttl_seconds: int = TTL_SECONDS,
    fifo: bool = False,
    **more: Any,
) -> PipelineContext:
    """What the parts share; tries follow each other without a pause, and no health file is written."""
    health = Health(health_file, warn=lambda _problem: None, clock=monotonic)
    clocks = Clocks(clock or Clock(), monotonic)
    settings = _settings(ttl_seconds, ".fifo" if fifo else "")
    return PipelineContext(settings, Metrics(), health, clocks, **{"abandon": NoWaiting(), **more})


@cache
def _settings(ttl_seconds: int, suffix: str) -> Settings:
    values: dict[str, Any] = {
        "SQS_EXPORT_EVENTS_QUEUE_URL": f"http://127.0.0.1/123456789012/events{suffix}",
        "EXPORT_STATUS_TTL_SECONDS": str(ttl_seconds),
        "EXPORT_DRAIN_SECONDS": "25",
    }
    return Settings(_env_file=None, **values)


def counted(metrics: Metrics, metric: Metric) -> Any:
    """A metric's value in the next line; the line is taken, so counters begin again."""
    return json.loads(metrics.flush(at(0))).get(metric.value)


def message(body: str, **changes: Any) -> Message:
    """A message as received for the first time, under an id of its own."""
    number = next(MESSAGE_NUMBERS)
    whole: dict[str, Any] = {
        "message_id": f"m-{number}",
        "receipt_handle": f"handle-{number}",
        "body": body,
        "receive_count": 1,
        "sent_at": None,
        "group_id": None,
    }
    return Message(**(whole | changes))


def delivery(body: str, now: datetime | None = None, **changes: Any) -> Delivery:
    """A message with its event."""
    made = message(body, **changes)
    return Delivery(made, decode(body, now=now or at(60)))


def change(status: str = "pending", **changes: Any) -> Change:
    """The change of one event."""
    _, made = fold([event(status, **changes)], TTL_SECONDS)
    return made


def timeout() -> ReadTimeoutError:
    """What botocore raises when the answer does not come."""
    return ReadTimeoutError(endpoint_url="http://127.0.0.1")


def service_error(code: str, status: int = 400) -> ClientError:
    """What botocore raises for an error answer."""
    return client_error("UpdateItem", code, status)


class Scripted:
    """A boto3 client whose calls go by a plan, and that passes on what the plan leaves to another client.

    Args:
        client: the other client.
        plan: for each call an error that is raised in its place; `("after", error)`: raised after it took
            effect; the results of a batch's statements; a function that answers, given the arguments; any
            other answer; or None: the call is passed on.
        only: the operation that goes by the plan; without it each does.
    """

    def __init__(self, client: Any = None, *plan: Any, only: str = "") -> None:
        self._client = client
        self._plan = list(plan)
        self._only = only
        self.calls: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.before_call: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        def scripted(**arguments: Any) -> Any:
            self.calls.append(name)
            self.requests.append(arguments)
            self.before_call()
            planned = self._plan.pop(0) if self._plan and self._only in {"", name} else None
            if isinstance(planned, Exception):
                raise planned
            if isinstance(planned, tuple):  # it takes effect, or is refused, and nobody hears of it
                with suppress(ClientError):
                    getattr(self._client, name)(**arguments)
                raise planned[1]
            if isinstance(planned, list):
                return {"Responses": planned * len(arguments["Statements"]) if len(planned) == 1 else planned}
            if planned is not None:
                return planned(arguments) if callable(planned) else planned
            return getattr(self._client, name)(**arguments)

        scripted.__name__ = name
        return scripted

    def count(self, name: str) -> int:
        """How often an operation was called."""
        return self.calls.count(name)


def batches(client: Any, *answers: Any) -> Scripted:
    """A client whose BatchExecuteStatement gives these answers in turn."""
    return Scripted(client, *answers, only="batch_execute_statement")


class FakeAws:
    """Stands in for `processor.aws.clients.Aws`."""

    def __init__(self, sqs: Any, receiving: Any = None) -> None:
        self.settling = lambda: sqs
        self.receiving = lambda: receiving or sqs


@dataclass(frozen=True)
class Store:
    """A table on one of the engines."""

    at: ClientFactory
    table: str
    modes: tuple[str, ...] = ("single",)

    @property
    def client(self) -> Any:
        """The engine's own client."""
        return self.at("dynamodb")

    def put(self, stored: Mapping[str, Any]) -> None:
        """Stores an item."""
        self.client.put_item(TableName=self.table, Item=stored)

    def item(self, key: str = "req-1") -> dict[str, Any] | None:
        """The stored item."""
        return item_of(self.at, self.table, key)


def status_table_on(client: Any, name: str, clock: Clock | None = None, **more: Any) -> StatusTable:
    """The real status table on a client; `more` is `context`'s."""
    return StatusTable(client, name, context(clock, **more))


def writer_on(table: StatusTable, mode: str = "batch") -> Writer:
    """The real writer."""
    return Writer(table, WriteMode(mode, table))


def applier_on(
    client: Any, table: str, clock: Clock | None = None, *, mode: str = "single", **more: Any
) -> Applier:
    """The real applier with the writer of a mode, on a client; `more` is `context`'s."""
    status_table = status_table_on(client, table, clock, **more)
    return Applier(status_table, writer_on(status_table, mode))


def deliver(applier: Applier, batch: Iterable[Delivery]) -> dict[str, EventResult]:
    """Applies one batch; the results by message id."""
    results, _ = applier.apply(list(batch), FAR_DEADLINE)
    return {result.message.message_id: result for result in results}


def settle(applier: Applier, batches: Sequence[Sequence[Delivery]]) -> list[Outcome]:
    """Delivers batches in order, and what is left for later once more after them, until nothing changes.

    Returns:
        The last outcome of each message, in the order of delivery.
    """
    outcomes: dict[str, Outcome] = {}
    waiting = [list(batch) for batch in batches]
    while waiting:
        left = []
        for batch in waiting:
            results = deliver(applier, batch)
            assert results.keys() == {each.message_id for each, _ in batch}
            outcomes |= {name: result.outcome for name, result in results.items()}
            left += [pair for pair in batch if results[pair[0].message_id].outcome in LEFT]
        waiting = [left] if left and len(left) < sum(len(batch) for batch in waiting) else []
    return [outcomes[each.message_id] for batch in batches for each, _ in batch]


LEFT = {Outcome.EARLY, Outcome.RETRY}


def outcomes(applier: Applier, *bodies: str, now: float = 60) -> list[Outcome]:
    """What becomes of messages with these bodies that arrive together."""
    return settle(applier, [[delivery(text, now=at(now)) for text in bodies]])
