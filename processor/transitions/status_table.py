"""The status table: one conditional write for a change, its refusal answered with the item as it was."""

import math
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from handlers.export import Item, is_dead
from handlers.transitions import Change
from handlers.writes import fill_in_arguments, probe_arguments, update_arguments
from processor.aws.calls import call
from processor.aws.errors import AwsError, ConditionFailed, Transient
from processor.transitions.timing import Clocks, Timing

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
        abandon: set when nothing may wait or begin any more; tries end early then.
        clocks: for expiry, deadlines and jitter.
        timing: how long it waits before it tries again.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        table: str,
        abandon: threading.Event,
        clocks: Clocks,
        timing: Timing,
    ) -> None:
        self.client = client
        self.name = table
        self._abandon = abandon
        self._clocks = clocks
        self._retry_seconds = timing.table_retry_seconds

    def now(self) -> datetime:
        """Our clock."""
        return self._clocks.now()

    def has_time(self, deadline: float) -> bool:
        """Whether another call may begin: the deadline has not come, and the drain leaves time for it."""
        return self._clocks.monotonic() < deadline and not self._abandon.is_set()

    def write(self, change: Change, deadline: float = math.inf) -> Answer:
        """Writes one change with UpdateItem; this is the definition that batches follow.

        Args:
            change: what to write.
            deadline: on `time.monotonic()`; no second or third try begins after it.
        """
        error: AwsError | None = None
        for attempt in range(TRIES):
            if attempt and not self.wait_to_try_again(attempt, deadline):
                break
            now = self.now()
            if change.ttl is not None and is_dead(change.ttl, now):
                return Late(change.ttl)
            try:
                call(self.client.update_item, TableName=self.name, **update_arguments(change, now))
            except ConditionFailed as refused:
                return Refused(refused.item, now)
            except Transient as transient:
                error = transient
            except AwsError as permanent:
                return Failed(permanent)
            else:
                return Written()
        return Failed(error or NotTried("UpdateItem", "OutOfTime"))

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
        error: AwsError | None = None
        for attempt in range(TRIES):
            if attempt and not self.wait_to_try_again(attempt, deadline):
                break
            try:
                arguments = fill_in_arguments(request_id, fields, self.now())
                call(self.client.update_item, TableName=self.name, **arguments)
            except ConditionFailed:
                return None
            except Transient as transient:
                error = transient
            except AwsError as permanent:
                return permanent
            else:
                return None
        return error

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
        answer = call(
            self.client.batch_get_item,
            RequestItems={
                self.name: {
                    "Keys": [{"requestId": {"S": request_id}} for request_id in request_ids],
                    "ConsistentRead": True,
                }
            },
        )
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
        try:
            call(self.client.update_item, TableName=self.name, **probe_arguments(absent_key()))
        except ConditionFailed:
            return

    def wait_to_try_again(self, attempt: int, deadline: float) -> bool:
        """Waits before try number `attempt` (from 1); False if nothing may be tried any more."""
        pause = self._clocks.jitter(self._retry_seconds * 4 ** (attempt - 1))
        return self._clocks.monotonic() + pause < deadline and not self._abandon.wait(pause)


def absent_key() -> str:
    """A requestId that no export has."""
    return f"probe-{uuid.uuid4()}"
