"""What tests of the transitions pipeline share: messages, a clock that stands still, tables that can fail."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from handlers.events import decode
from handlers.transitions import Outcome
from processor.observability.metrics import Metric, Metrics
from processor.transitions.applier import Applier, Delivery
from processor.transitions.messages import Message
from processor.transitions.results import EventResult
from processor.transitions.status_table import StatusTable
from processor.transitions.timing import Clocks, Timing
from processor.transitions.writers import BatchWriter, SingleWriter
from tests.handlers.making import TTL_SECONDS, at
from tests.handlers.model_table import ConditionRefused, ModelTable

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


class ModelDynamoDb:
    """DynamoDB's client with the model table behind it.

    `plan` decides about the calls to come: None lets one through, `before` and `after` are errors raised
    before or after the write takes effect. `on_write` sees each item that a write has left.
    """

    def __init__(self, clock: Clock) -> None:
        self.table = ModelTable()
        self.plan: deque[tuple[str, Exception] | None] = deque()
        self.on_write: Callable[[Mapping[str, Any] | None, Mapping[str, Any]], None] = lambda _old, _new: None
        self.updates = 0
        self._clock = clock

    def update_item(self, **arguments: Any) -> dict[str, Any]:
        """Executes the expressions, unless the plan says otherwise."""
        self.updates += 1
        fault = self.plan.popleft() if self.plan else None
        if fault and fault[0] == "before":
            raise fault[1]
        key = arguments["Key"]["requestId"]["S"]
        old = self.table.items.get(key)
        refusal: ClientError | None = None
        try:
            self.table.update_item(arguments)
        except ConditionRefused as refused:
            old_item: dict[str, Any] = {"Item": refused.item} if refused.item is not None else {}
            if arguments.get("ReturnValuesOnConditionCheckFailure") != "ALL_OLD":
                old_item = {}
            refusal = service_error("ConditionalCheckFailedException", **old_item)
        else:
            self.on_write(old, self.table.items[key])
        if fault:
            raise fault[1]
        if refusal:
            raise refusal
        return {}

    def batch_get_item(self, **arguments: Any) -> dict[str, Any]:
        """The items that are there."""
        [(table, request)] = arguments["RequestItems"].items()
        keys = [key["requestId"]["S"] for key in request["Keys"]]
        return {"Responses": {table: [self.table.items[key] for key in keys if key in self.table.items]}}


def timeout() -> ReadTimeoutError:
    """What botocore raises when the answer does not come."""
    return ReadTimeoutError(endpoint_url="http://127.0.0.1")


def service_error(code: str, status: int = 400, **members: Any) -> ClientError:
    """What botocore raises for an error answer."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **members}
    return ClientError(answer, "UpdateItem")


def status_table_on(
    client: Any,
    name: str,
    clock: Clock,
    *,
    abandon: threading.Event | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> StatusTable:
    """The real status table on a client; tries follow each other without a pause."""
    return StatusTable(client, name, abandon or NoWaiting(), Clocks(clock, monotonic), Timing())


def applier_on(
    client: Any, table: str, clock: Clock, *, mode: str = "single", ttl_seconds: int = TTL_SECONDS
) -> Applier:
    """The real applier with the writer of a mode, on a client."""
    status_table = status_table_on(client, table, clock)
    single = SingleWriter(status_table)
    writer = BatchWriter(status_table, single, Metrics(), lambda: None) if mode == "batch" else single
    return Applier(status_table, writer, clock, ttl_seconds)


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


def delivery(body: str, now: datetime | None = None, **changes: Any) -> Delivery:
    """A message with its event."""
    made = message(body, **changes)
    return Delivery(made, decode(body, now=now or at(60)))
