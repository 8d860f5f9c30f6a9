"""The status table: one conditional write for a change, its refusal answered with the item as it was."""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from handlers.export import Item, is_dead
from handlers.transitions import Change
from handlers.writes import fill_in_arguments, probe_arguments, update_arguments
from processor.aws.calls import call
from processor.aws.errors import AwsError, ConditionFailed, Transient
from processor.transitions.context import PipelineContext

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

TRIES = 3


class NotTried(Transient):
    """There was no time left to try the write: no sign of the table's state."""


class Unexplained(Transient):
    """DynamoDB refused a write, and it is not known whether the item is at fault."""


@dataclass(frozen=True, slots=True)
class Written:
    """The write took effect."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The condition did not hold at `now`; `item` is the item at that time, None where there was no item."""

    item: Item | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Late:
    """The change's own ttl had passed before the write could be tried."""

    ttl: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Whether the write took effect is not known, or DynamoDB refuses this very item (`Rejected`)."""

    error: AwsError


Answer = Written | Refused | Late | Failed


class StatusTable:
    """Conditional writes on the status table; safe for many threads.

    The clock is read again before each try, so nothing is written that has expired by then.

    Args:
        client: DynamoDB, without retries.
        table: the table's name.
        context: the pipeline's.
    """

    def __init__(self, client: "DynamoDBClient", table: str, context: PipelineContext) -> None:
        self.client = client
        self.name = table
        self.context = context
        self.now = context.clocks.now
        self.has_time = context.has_time

    def write(self, change: Change, deadline: float = math.inf) -> Answer:
        """Writes one change with UpdateItem; this is the definition that batches follow.

        Args:
            change: what to write.
            deadline: on `time.monotonic()`; no second or third try begins after it.
        """
        return self._update(partial(update_arguments, change), deadline, change.ttl)

    def fill_in(
        self, request_id: str, fields: Mapping[str, str], deadline: float = math.inf
    ) -> AwsError | None:
        """Adds attributes where a living item lacks them; refused conditions are fine.

        Args:
            request_id: the item's key.
            fields: the attributes, by name.
            deadline: as in `write`.

        Returns:
            The error if whether it took effect is not known.
        """
        answer = self._update(partial(fill_in_arguments, request_id, fields), deadline)
        return answer.error if isinstance(answer, Failed) else None

    def get_items(self, request_ids: Sequence[str]) -> Mapping[str, Item | None]:
        """Reads items with one consistent BatchGetItem.

        Args:
            request_ids: at most 100 keys, each once.

        Returns:
            By key the item, dead or alive, or None where there is none. Keys that DynamoDB did not process
            are left out.

        Raises:
            AwsError: if DynamoDB does not answer.
        """
        keys = [{"requestId": {"S": request_id}} for request_id in request_ids]
        asked: Any = {self.name: {"Keys": keys, "ConsistentRead": True}}
        answer = call(self.client.batch_get_item, RequestItems=asked)
        found: dict[str, Item | None] = {
            item["requestId"]["S"]: item for item in answer.get("Responses", {}).get(self.name, [])
        }
        unprocessed = answer.get("UnprocessedKeys", {}).get(self.name)
        skipped = {key["requestId"]["S"] for key in unprocessed["Keys"]} if unprocessed else set()
        return {key: found.get(key) for key in request_ids if key in found or key not in skipped}

    def probe(self) -> None:
        """Tries a write that changes nothing.

        Raises:
            AwsError: if the table does not take writes.
        """
        with suppress(ConditionFailed):
            call(self.client.update_item, TableName=self.name, **probe_arguments(absent_key()))

    def wait_to_try_again(self, attempt: int, deadline: float) -> bool:
        """Waits before try number `attempt` (from 1); False if nothing may be tried any more."""
        context = self.context
        pause = context.clocks.jitter(context.timing.table_retry_seconds * 4 ** (attempt - 1))
        return context.clocks.monotonic() + pause < deadline and not context.abandon.wait(pause)

    def _update(
        self, arguments: Callable[[datetime], dict[str, Any]], deadline: float, ttl: int | None = None
    ) -> Answer:
        error: AwsError = NotTried("UpdateItem", "OutOfTime")
        for attempt in range(TRIES):
            if attempt and not self.wait_to_try_again(attempt, deadline):
                break
            now = self.now()
            if ttl is not None and is_dead(ttl, now):
                return Late(ttl)
            try:
                call(self.client.update_item, TableName=self.name, **arguments(now))
            except ConditionFailed as refused:
                return Refused(refused.item, now)
            except Transient as transient:
                error = transient
            except AwsError as permanent:
                return Failed(permanent)
            else:
                return Written()
        return Failed(error)


def absent_key() -> str:
    """A requestId that no export has."""
    return f"probe-{uuid.uuid4()}"
