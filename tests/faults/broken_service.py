"""The service with one of its laws broken, to know that the checker sees it.

`python -m tests.faults.broken_service LAW` runs the service with that law broken.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from handlers import writes
from processor.cli.app import main
from processor.streams import taker
from processor.streams.api import Page
from processor.streams.leases.lease import Lease
from processor.streams.lineage import ready_leases
from processor.streams.shard_reader import ShardReader
from processor.transitions.event_queue import EventQueue
from processor.transitions.messages import Message


def delete_before_write() -> None:
    """Messages are deleted as soon as they are received."""
    receive = EventQueue.receive

    def receive_and_delete(queue: EventQueue, wait_seconds: int) -> list[Message]:
        messages = receive(queue, wait_seconds)
        queue.delete(messages)
        return messages

    _patch(EventQueue, "receive", receive_and_delete)


def checkpoint_before_sink() -> None:
    """The checkpoint is written when a page is read, not when the sinks have its entries."""
    take_in_hand = ShardReader._take_in_hand

    def take_and_checkpoint(reader: ShardReader, page: Page, started: float, started_at: float) -> float:
        wait = take_in_hand(reader, page, started, started_at)
        if page.records:
            reader.lease.advance(page.last_position())
            reader.lease.renew()
        return wait

    _patch(ShardReader, "_take_in_hand", take_and_checkpoint)


def no_ttl_condition() -> None:
    """Writes do not ask whether the item has expired."""

    def long_ago(_now: datetime) -> Mapping[str, str]:
        return {"N": "0"}

    _patch(writes, "_now", long_ago)


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
