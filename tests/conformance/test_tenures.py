"""The life of a lease on real engines; `tests/streams/leases` has the cases of each write."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from processor.streams.leases.held import WorkerIdentity, acquire
from processor.streams.leases.lease import Lease, Position, new_lease
from processor.streams.leases.table import LeaseTable
from tests.conformance.conftest import Stand
from tests.resources import leases_table

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
WORKERS = 8


@pytest.fixture
def table(stand: Stand) -> LeaseTable:
    """A leases table with one row without an owner."""
    table = LeaseTable(stand.aws.leases(), leases_table(stand.clients))
    table.create(new_lease(ARN, "shard-1", frozenset({"shard-0"}), now=1_795_400_000.5, tracked_since=1.0))
    return table


def row(table: LeaseTable) -> Lease:
    [lease] = table.scan()
    return lease


def test_of_many_tasks_that_take_a_lease_at_once_one_gets_it(table: LeaseTable) -> None:
    free = row(table)
    with ThreadPoolExecutor(WORKERS) as pool:
        takes = [
            pool.submit(acquire, table, free, WorkerIdentity(f"worker-{number}", 10.0))
            for number in range(WORKERS)
        ]
    [winner] = [held for take in takes if (held := take.result()) is not None]
    assert row(table).owner == winner.row.owner
    assert row(table).counter == 1


def test_a_checkpoint_is_in_the_row_and_a_finished_shard_names_its_children(table: LeaseTable) -> None:
    held = acquire(table, row(table), WorkerIdentity("a", 10.0))
    assert held is not None
    held.delivered = Position("000000000000000000007", 1_795_400_001.0)
    held.renew()
    assert row(table) == held.row
    assert row(table).position == Position("000000000000000000007", 1_795_400_001.0)
    held.set_children(frozenset({"shard-3", "shard-2"}))
    held.finish(1_795_400_003.0)
    finished = row(table)
    assert finished.finished
    assert (finished.owner, finished.ended_at) == (None, 1_795_400_003.0)
    assert finished.children == {"shard-2", "shard-3"}
    assert table.delete_finished(finished)
    assert table.scan() == ()


def test_a_scan_reads_more_than_a_megabyte(table: LeaseTable) -> None:
    rows = 40
    for number in range(rows):
        many = frozenset(f"shard-{number}-{parent:06d}" + "p" * 60 for parent in range(400))
        table.create(new_lease(ARN, f"shard-large-{number}", many, now=1.0, tracked_since=1.0))
    assert len(table.scan()) == rows + 1
