"""The seam between the stream engine and its user: a record processor, as KCL calls it.

The engine reads a page of records, lets the processor begin work on it, and goes on with the work until it
is done. Only then does the shard's position move behind the page. The engine knows nothing of what the
records mean.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from processor.streams.shards import ShardName

Record = Mapping[str, Any]
"""One record as GetRecords gives it in JSON: `eventID`, `eventName`, `userIdentity`, `dynamodb`."""


class Unavailable(Exception):
    """The work cannot go on now: the engine calls `Work.go_on` again after a back-off.

    Args:
        problem: why.
        retry_seconds: when to call again; None: after the engine's own back-off.
    """

    def __init__(self, problem: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.retry_seconds = retry_seconds


class Blocked(Exception):
    """This process cannot finish the work: the engine drops it and reads nothing more of the shard."""


class Interrupted(Exception):
    """`may_continue` answered no, so the work stopped before its next call to the outside."""


class Work(Protocol):
    """The work on one page of records. One thread at a time uses it."""

    @property
    def has_effects(self) -> bool:
        """Whether the page's records cause anything outside: then a checkpoint follows soon."""

    @property
    def durable_records(self) -> int:
        """How many of the page's first records need no further work: a checkpoint may move behind them."""

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Continues where the last call stopped; returns when all of the page is durable.

        Args:
            may_continue: to be asked before each call to the outside. It answers no once the shard's lease
                is not trusted or the deadline of a stop has come (docs/invariants.md, law 7).

        Raises:
            Unavailable: not now.
            Blocked: not in this process.
            Interrupted: `may_continue` answered no.
        """


class RecordProcessor(Protocol):
    """Begins the work on pages. Threads of many shards call it at the same time."""

    def tick(self) -> None:
        """Called every few seconds, also while no shard is held."""

    def begin(self, shard: ShardName, records: Sequence[Record], read_at: datetime) -> Work:
        """Begins the work on one page; makes no call to the outside.

        Args:
            shard: where the records come from.
            records: of one shard, oldest first, each with `dynamodb.SequenceNumber`; may be empty.
            read_at: when the page was read (aware, UTC).
        """
