"""CPU of the audit pipeline for each stream record, next to a plain boto3 loop (`make bench`).

The stream has four records an export: INSERT, MODIFY, MODIFY, and the REMOVE of its TTL. Both read it over
HTTP on loopback from the simulated stream, each as a separate process. CPU is the kernel's account of the
child, from its second page on to the last, so that start-up is in no figure. Needs Linux (/proc).
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measuring import Target, child_process, cpu_seconds, environment, resident_mib, verdict
from tests.benchmarks.standin_table import TABLE
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.simulated_stream.server import SimulatedAws

SERVICE = ("processor", "run", "--only", "audit")
PLAIN = ("tests.benchmarks.plain_stream_loop",)
BARE = (*PLAIN, "bare")
PAGE = 1_000
RECORDS_PER_EXPORT = 4
MAX_MICROS_PER_RECORD = 20.0
MAX_SHARE_OF_PLAIN = 0.2
MAX_SHARE_OF_BARE = 1.35
MAX_MEGABYTES = 250.0
MAX_CATCH_UP_SECONDS = 180.0
"""Four reads a second of a thousand records take 86 s; the stand-in makes their JSON meanwhile."""
ROUNDS = 3
DAY_RECORDS = 24 * 3_600 * RECORDS_PER_EXPORT
BACKLOG_PAGES = 60
"""Full pages of a backlog, and at least two in each shard."""

PATIENCE_SECONDS = 300.0


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=60_000, help="records that the service reads")
    records = parser.parse_args(arguments).records
    print(f"Python {platform.python_version()}, {platform.machine()}; a stream of four records an export")
    plain, _ = measure(PLAIN, max(4 * PAGE, records // 4))
    bares, services = [], []
    for _ in range(ROUNDS):  # in turns, so that a busy machine slows both of them
        bares.append(measure(BARE, records)[0])
        services.append(measure(SERVICE, records)[0])
    bare, service = statistics.median(bares), statistics.median(services)
    print("\n| reader | records | CPU µs/record |\n|---|---|---|")
    print(f"| plain boto3 loop | {max(4 * PAGE, records // 4):,} | {plain:.1f} |")
    print(f"| bare loop | {records:,} | {bare:.1f} ({bare / plain:.2f}) |")
    print(f"| service | {records:,} | {service:.1f} ({service / plain:.2f}) |")
    print("\n| shards with a backlog | peak MB | removals/s |\n|---|---|---|")
    peaks = {}
    for shards in (1, 8, 60):
        peaks[shards], rate = measure_backlog(shards)
        print(f"| {shards} | {peaks[shards]:.0f} | {rate:,.0f} |")
    _, seconds = measure(SERVICE, DAY_RECORDS)
    print(f"\n24 hours of one export a second in one shard: {DAY_RECORDS:,} records in {seconds:.0f} s")
    return verdict(
        [
            Target("MB of memory with 60 shards", peaks[60], MAX_MEGABYTES),
            Target("seconds to catch up 24 hours of one shard", seconds, MAX_CATCH_UP_SECONDS),
            Target("CPU µs a stream record", service, MAX_MICROS_PER_RECORD),
            Target("CPU a stream record, of the plain loop's", service / plain, MAX_SHARE_OF_PLAIN),
            Target("CPU a stream record, of the bare loop's", service / bare, MAX_SHARE_OF_BARE),
        ]
    )


def measure(module: Sequence[str], records: int) -> tuple[float, float]:
    """CPU microseconds a record of a reader, and the seconds that it took for all.

    Raises:
        RuntimeError: if it ends by itself or takes too long.
    """
    table = SimulatedTable(TABLE, time.time)
    streams, rows = SimulatedStreamsClient(table), SimulatedRows()
    fill(table, records)
    with tempfile.TemporaryDirectory() as scratch:
        with _reader(module, streams, rows, Path(scratch)) as child:
            _wait(child, lambda: streams.calls["GetRecords"] >= 2)
            before, started = cpu_seconds(child.pid), time.monotonic()
            _wait_for_the_end(child, table, rows)
            used, seconds = cpu_seconds(child.pid) - before, time.monotonic() - started
        lines = (Path(scratch) / "output").read_text().splitlines()
    entries = {json.loads(line)["auditId"] for line in lines if '"auditId"' in line}
    if len(entries) != records // RECORDS_PER_EXPORT:
        raise RuntimeError(f"{len(entries)} entries of {records // RECORDS_PER_EXPORT} were written")
    return used * 1e6 / (records - PAGE), seconds


def measure_backlog(shards: int) -> tuple[float, float]:
    """A backlog of full pages of removals in each shard.

    Returns:
        The service's peak memory (MB) and the removals that it read a second.
    """
    table = SimulatedTable(TABLE, time.time, shards=shards)
    streams, rows = SimulatedStreamsClient(table), SimulatedRows()
    removals = PAGE * max(2 * shards, BACKLOG_PAGES)
    item = {"status": {"S": "completed"}, "signedUrl": {"S": "https://x.invalid/?" + "x" * 700}}
    for number in range(removals):
        table.write(f"req-{number}", image=item | {"requestId": {"S": f"req-{number}"}})
    with tempfile.TemporaryDirectory() as scratch, _reader(SERVICE, streams, rows, Path(scratch)) as child:
        _wait(child, lambda: streams.calls["GetRecords"] >= 1)
        started = time.monotonic()
        _wait_for_the_end(child, table, rows)
        seconds = time.monotonic() - started
        peak = resident_mib(child.pid, "VmHWM") * 1.048576
    return peak, removals / seconds


@contextmanager
def _reader(
    module: Sequence[str], streams: SimulatedStreamsClient, rows: SimulatedRows, scratch: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    """A reader as a process, whose output is in a file."""
    with SimulatedAws(streams, rows) as aws:
        settings = environment(aws.endpoint_url, scratch / "health") | {
            "DYNAMODB_EXPORT_LEASES_TABLE": "leases",
            "EXPORT_METRICS_SECONDS": "0",
        }
        with child_process(module, settings, scratch / "output") as child:
            yield child


def _wait_for_the_end(child: "subprocess.Popen[bytes]", table: SimulatedTable, rows: SimulatedRows) -> None:
    """Waits until each shard's last record is in its row."""
    last = {shard.records[-1]["dynamodb"]["SequenceNumber"] for shard in table.open_shards() if shard.records}

    def is_over() -> bool:
        found = {row["checkpoint"]["S"] for row in list(rows.rows.values())}
        return last <= found or "SHARD_END" in found

    _wait(child, is_over)


def fill(table: SimulatedTable, records: int) -> None:
    """The life of exports, as their records are in the table's stream."""
    url = "https://exports.s3.us-east-1.amazonaws.com/reports/2026/11/22/report.csv?X-Amz-Security-Token="
    for number in range(records // RECORDS_PER_EXPORT):
        request_id = f"req-{number:012d}"
        item = {
            "requestId": {"S": request_id},
            "createdAt": {"S": "2026-11-22T10:00:00.000Z"},
            "updatedAt": {"S": "2026-11-22T10:00:07.250Z"},
            "ttl": {"N": "1795342500"},
            "fileName": {"S": f"report-{number}.csv"},
        }
        completed = item | {"status": {"S": "completed"}, "signedUrl": {"S": url + "x" * 700}}
        table.write(request_id, "INSERT", image=item | {"status": {"S": "pending"}})
        table.write(request_id, "MODIFY", image=item | {"status": {"S": "processing"}})
        table.write(request_id, "MODIFY", image=completed)
        table.write(request_id, "REMOVE", image=completed)


def _wait(child: "subprocess.Popen[bytes]", condition: Callable[[], bool]) -> None:
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the reader has stopped before the end of the stream")
        pause.wait(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
