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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

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
    lives = table_of_lives(records)
    plain = measure(PLAIN, table_of_lives(max(4 * PAGE, records // 4))).cpu_micros
    pairs = [  # in turns, so that a busy machine slows both of them
        (measure(BARE, lives).cpu_micros, measure(SERVICE, lives).cpu_micros) for _ in range(ROUNDS)
    ]
    bare, service = (statistics.median(each) for each in zip(*pairs, strict=True))
    print("\n| reader | records | CPU µs/record |\n|---|---|---|")
    print(f"| plain boto3 loop | {max(4 * PAGE, records // 4):,} | {plain:.1f} |")
    print(f"| bare loop | {records:,} | {bare:.1f} ({bare / plain:.2f}) |")
    print(f"| service | {records:,} | {service:.1f} ({service / plain:.2f}) |")
    print("\n| shards with a backlog | peak MB | removals/s |\n|---|---|---|")
    peaks = {}
    for shards in (1, 8, 60):
        backlog = measure(SERVICE, table_of_removals(shards))
        peaks[shards] = backlog.peak_megabytes
        print(f"| {shards} | {peaks[shards]:.0f} | {backlog.entries / backlog.seconds:,.0f} |")
    seconds = measure(SERVICE, table_of_lives(DAY_RECORDS)).seconds
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


class Read(NamedTuple):
    """What a reader took for a stream, from its second page on; its CPU is that of a record."""

    entries: int
    cpu_micros: float
    seconds: float
    peak_megabytes: float


def measure(module: Sequence[str], table: SimulatedTable) -> Read:
    """Lets a reader read the whole stream of a table.

    Raises:
        RuntimeError: if it ends by itself, takes too long or leaves something out.
    """
    streams, rows = SimulatedStreamsClient(table), SimulatedRows()
    records = [shard.records for shard in table.open_shards() if shard.records]
    last = {each[-1]["dynamodb"]["SequenceNumber"] for each in records}
    removals = sum(each["eventName"] == "REMOVE" for shard in records for each in shard)

    def is_over() -> bool:
        found = {row["checkpoint"]["S"] for row in list(rows.rows.values())}
        return last <= found or "SHARD_END" in found

    with tempfile.TemporaryDirectory() as scratch, SimulatedAws(streams, rows) as aws:
        output = Path(scratch) / "output"
        settings = environment(aws.endpoint_url, Path(scratch) / "health") | {
            "DYNAMODB_EXPORT_LEASES_TABLE": "leases",
            "EXPORT_METRICS_SECONDS": "0",
        }
        with child_process(module, settings, output) as child:
            _wait(child, lambda: streams.calls["GetRecords"] >= 2)
            before, started = cpu_seconds(child.pid), time.monotonic()
            _wait(child, is_over)
            used, seconds = cpu_seconds(child.pid) - before, time.monotonic() - started
            peak = resident_mib(child.pid, "VmHWM") * 1.048576
        lines = output.read_text().splitlines()
    entries = {json.loads(line)["auditId"] for line in lines if '"auditId"' in line}
    if len(entries) != removals:
        raise RuntimeError(f"{len(entries)} entries of {removals} were written")
    return Read(removals, used * 1e6 / (sum(map(len, records)) - PAGE), seconds, peak)


def table_of_removals(shards: int) -> SimulatedTable:
    """Full pages of removals in each shard."""
    table = SimulatedTable(TABLE, time.time, shards=shards)
    item = {"status": {"S": "completed"}, "signedUrl": {"S": "https://x.invalid/?" + "x" * 700}}
    for number in range(PAGE * max(2 * shards, BACKLOG_PAGES)):
        table.write(f"req-{number}", image=item | {"requestId": {"S": f"req-{number}"}})
    return table


def table_of_lives(records: int) -> SimulatedTable:
    """The life of exports, as their records are in a table's stream."""
    table = SimulatedTable(TABLE, time.time)
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
    return table


def _wait(child: "subprocess.Popen[bytes]", condition: Callable[[], bool]) -> None:
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the reader has stopped before the end of the stream")
        pause.wait(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
