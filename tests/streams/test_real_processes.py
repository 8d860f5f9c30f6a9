"""Real processes share a stream over HTTP, come and go, and lose nothing."""

import contextlib
import fcntl
import itertools
import signal
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable, number_of
from tests.simulated_stream.rows import SimulatedRows
from tests.simulated_stream.server import SimulatedAws
from tests.streams.tasks import TABLE, SimulatedAccount, audit_task
from tests.support.proxy import Answer, Request, Reset, Upstream, proxy
from tests.support.service import ServiceProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

SECONDS = 180.0
"""How long a condition is waited for: starts of several processes on a busy machine fit in."""


@pytest.fixture
def account() -> Iterator[SimulatedAccount]:
    """A table with four shards."""
    table = SimulatedTable(TABLE, time.time, shards=4)
    streams, rows = SimulatedStreamsClient(table), SimulatedRows()
    with SimulatedAws(streams, rows) as aws:
        yield SimulatedAccount(table, streams, rows, aws.endpoint_url)


@contextlib.contextmanager
def exports_expire(account: SimulatedAccount, per_second: int) -> Iterator[None]:
    """Items leave the table all the while, each key again and again."""
    done = threading.Event()

    def expire() -> None:
        for number in itertools.count():
            account.table.write(f"export-{number % 40}", "MODIFY")
            account.table.write(f"export-{number % 40}")
            if done.wait(1 / per_second):
                return

    thread = threading.Thread(target=expire, name="expiring")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def assert_in_order(account: SimulatedAccount, *tasks: ServiceProcess) -> None:
    """First appearances of one export's entries are in the order in which its items were removed."""
    numbers = {record["eventID"]: number_of(record) for _, record in account.table.removals()}
    lines = sorted(
        (line for task in tasks for line in task.lines("audit")), key=lambda line: line["timestamp"]
    )
    first = {line["auditId"]: line for line in reversed(lines)}
    by_export: dict[str, list[tuple[str, int]]] = {}
    for audit_id, line in first.items():
        by_export.setdefault(line["requestId"], []).append((line["timestamp"], numbers[audit_id]))
    for appearances in by_export.values():
        in_time = sorted(appearances)  # lines of one millisecond count as in order
        assert [number for _, number in in_time] == sorted(number for _, number in in_time)


def taken(*tasks: ServiceProcess) -> set[str]:
    """The ids of every entry that any task printed."""
    return {line["auditId"] for task in tasks for line in task.lines("audit")}


def test_from_one_task_to_four_to_two_with_kills_and_stops_every_entry_arrives(
    account: SimulatedAccount, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as running:
        tasks = [running.enter_context(audit_task(account.environment(), tmp_path))]
        with exports_expire(account, per_second=60):
            eventually(lambda: taken(*tasks), SECONDS)
            tasks += [running.enter_context(audit_task(account.environment(), tmp_path)) for _ in range(3)]
            eventually(lambda: account.shares() == [1, 1, 1, 1], SECONDS)
            for shard in account.table.open_shards()[:2]:
                account.table.split(shard.shard_id)
            account.table.roll(account.table.open_shards()[0].shard_id)
            tasks[0].kill()
            assert tasks[1].stop()[0] == 0
            eventually(lambda: account.shares() == [3, 3], SECONDS)
            account.table.split(account.table.open_shards()[0].shard_id)
        eventually(lambda: account.removed() <= taken(*tasks), SECONDS)
        eventually(lambda: account.finished() == 4, SECONDS)
        assert [task.stop()[0] for task in tasks[2:]] == [0, 0]
        assert taken(*tasks) == account.removed()
        assert_in_order(account, *tasks)
        assert not [line for task in tasks for line in task.lines() if line["event"] == "audit_gap"]


def test_a_stop_while_standard_output_takes_nothing_gives_every_lease_back(
    account: SimulatedAccount, tmp_path: Path
) -> None:
    with audit_task(account.environment(), tmp_path, is_read=False) as task:
        eventually(lambda: len(account.streams.reads) == 4, SECONDS)
        with account.table.lock:  # so that the next page of each shard is more than the pipe holds
            for number in range(2_000):
                account.table.write(f"export-{number}")

        def held_bytes() -> int:
            assert task.process.stdout is not None
            number = task.process.stdout.fileno()
            return int.from_bytes(fcntl.ioctl(number, termios.FIONREAD, bytes(4)), sys.byteorder)

        eventually(lambda: held_bytes() > 48 * 1_024, SECONDS)
        task.process.send_signal(signal.SIGTERM)
        eventually(lambda: not [row for row in account.rows.rows.values() if "leaseOwner" in row], SECONDS)
        assert task.process.wait(SECONDS) == 1, "its last words could not be written"


def test_a_task_that_stood_still_past_its_failover_time_puts_nothing_under_the_lost_lease(
    account: SimulatedAccount, tmp_path: Path
) -> None:
    cut = threading.Event()

    def cut_off(request: Request, upstream: Upstream) -> Answer:
        if cut.is_set():
            raise Reset
        return upstream.ask(request)

    with (
        proxy(account.endpoint_url, cut_off) as way,
        audit_task(account.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": way}, tmp_path) as first,
        audit_task(account.environment(), tmp_path) as second,
    ):
        with exports_expire(account, per_second=50):
            eventually(lambda: account.shares() == [2, 2], SECONDS)
            eventually(lambda: first.lines("audit"), SECONDS)
            first.process.send_signal(signal.SIGSTOP)
            stopped_at = max(number_of(record) for _, record in account.table.removals())
            eventually(lambda: account.shares() == [4], SECONDS)
            said, others = len(first.lines()), len(second.lines("audit"))
            # It cannot even learn that its leases are lost: nothing but its own clock tells it to stop.
            cut.set()
            first.process.send_signal(signal.SIGCONT)
            eventually(
                lambda: any(line["event"] == "lease_renewal_failed" for line in first.lines()[said:]), SECONDS
            )
            eventually(lambda: len(second.lines("audit")) >= others + 10, SECONDS)
            cut.clear()
            # It comes back, finds its leases lost, and asks for a fair share of new ones.
            eventually(lambda: any(line["event"] == "lease_lost" for line in first.lines()), SECONDS)
            eventually(lambda: account.shares() == [2, 2], SECONDS)
            eventually(lambda: any(line["event"] == "audit" for line in first.lines()[said:]), SECONDS)
        eventually(lambda: account.removed() <= taken(first, second), SECONDS)
        assert [first.stop()[0], second.stop()[0]] == [0, 0]
        assert_in_order(account, first, second)
        retaken: set[str] = set()
        for line in first.lines()[said:]:
            if line["event"] == "lease_taken":
                retaken.add(line["lease_key"].rpartition("/")[2])
            # A put that was under way when it was stopped may end, with what the next owner repeats.
            elif line["event"] == "audit" and int(line["source"]["sequenceNumber"]) > stopped_at:
                assert line["source"]["shardId"] in retaken, "read under the lost lease"
