"""The service with one of its laws broken, to know that the checker sees it.

`python -m tests.faults.broken_service LAW` runs the service with that law broken.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from handlers import writes
from processor.audit.removals import Removals
from processor.cli.app import main
from processor.streams.api import position_of
from processor.streams.leases import taker
from processor.streams.leases.lease import Lease
from processor.streams.lineage import ready_leases
from processor.streams.record_processor import Record, Work
from processor.streams.shard_reader import ShardReader
from processor.streams.shards import ShardName
from processor.transitions import status_table, writers
from processor.transitions.event_queue import EventQueue
from processor.transitions.messages import Message


def delete_before_write() -> None:
    """Messages are deleted as soon as they are received."""
    receive = EventQueue.receive

    def receive_and_delete(queue: EventQueue, *how: Any) -> list[Message]:
        messages = receive(queue, *how)
        queue.delete(messages)
        return messages

    _patch(EventQueue, "receive", receive_and_delete)


def checkpoint_before_sink() -> None:
    """The checkpoint is written when a page is read, not when the sinks have its entries."""
    step, begin = ShardReader.step, Removals.begin
    thread = threading.local()

    def step_of_reader(reader: ShardReader) -> float | None:
        thread.lease = reader.lease
        return step(reader)

    def checkpoint_and_begin(
        removals: Removals, shard: ShardName, records: Sequence[Record], read_at: datetime
    ) -> Work:
        if records:
            thread.lease.delivered = position_of(records[-1])
            thread.lease.renew()
        return begin(removals, shard, records, read_at)

    _patch(ShardReader, "step", step_of_reader)
    _patch(Removals, "begin", checkpoint_and_begin)


def no_ttl_condition() -> None:
    """Writes do not ask whether the item has expired."""
    long_ago = datetime.fromtimestamp(0, UTC)
    update_arguments, statement = writes.update_arguments, writes.statement
    _patch(status_table, "update_arguments", lambda change, _now: update_arguments(change, long_ago))
    _patch(writers, "statement", lambda change, table, _now: statement(change, table, long_ago))


def child_before_parent() -> None:
    """A shard is read without waiting for its parent."""

    def ready_orphans(leases: Iterable[Lease], *rest: Any) -> tuple[Lease, ...]:
        return ready_leases([replace(lease, parents=frozenset()) for lease in leases], *rest)

    _patch(taker, "ready_leases", ready_orphans)


LAWS: Mapping[str, Callable[[], None]] = {
    "delete before write": delete_before_write,
    "checkpoint before sink": checkpoint_before_sink,
    "no ttl condition": no_ttl_condition,
    "child before parent": child_before_parent,
}


def _patch(where: Any, name: str, replacement: object) -> None:
    if not hasattr(where, name):
        raise AttributeError(f"{where} has no {name}: the law cannot be broken so any more")
    setattr(where, name, replacement)


if __name__ == "__main__":
    LAWS[sys.argv[1]]()
    sys.argv[1:] = ["run"]
    main()
