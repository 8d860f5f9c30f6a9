"""CPU of the audit pipeline for each stream record, next to a plain boto3 loop (`make bench`).

The stream has four records an export: INSERT, MODIFY, MODIFY, and the REMOVE of its TTL. Both read it over
HTTP on loopback from the simulated stream, each as a separate process. CPU is the kernel's account of the
child, from its second page on to the last, so that start-up is in no figure. Needs Linux (/proc).
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.measuring import Target, cpu_seconds, end, environment, verdict
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
PATIENCE_SECONDS = 300.0


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=60_000, help="records that the service reads")
    records = parser.parse_args(arguments).records
    print(f"Python {platform.python_version()}, {platform.machine()}; a stream of four records an export")
    plain = measure(PLAIN, max(4 * PAGE, records // 4))
    bare, service = measure(BARE, records), measure(SERVICE, records)
    print("\n| reader | records | CPU µs/record |\n|---|---|---|")
    print(f"| plain boto3 loop | {max(4 * PAGE, records // 4):,} | {plain:.1f} |")
    print(f"| bare loop | {records:,} | {bare:.1f} ({bare / plain:.2f}) |")
    print(f"| service | {records:,} | {service:.1f} ({service / plain:.2f}) |")
    return verdict(
        [
            Target("CPU µs a stream record", service, MAX_MICROS_PER_RECORD),
            Target("CPU a stream record, of the plain loop's", service / plain, MAX_SHARE_OF_PLAIN),
            Target("CPU a stream record, of the bare loop's", service / bare, MAX_SHARE_OF_BARE),
        ]
    )


def measure(module: Sequence[str], records: int) -> float:
    """CPU microseconds a record of a reader.

    Raises:
        RuntimeError: if it ends by itself or takes too long.
    """
    table = SimulatedTable(TABLE, time.time)
    streams, rows = SimulatedStreamsClient(table), SimulatedRows()
    fill(table, records)
    with (
        SimulatedAws(streams, rows) as aws,
        tempfile.TemporaryDirectory() as scratch,
        (Path(scratch) / "output").open("w") as output,
    ):
        settings = environment(aws.endpoint_url, Path(scratch) / "health") | {
            "DYNAMODB_EXPORT_LEASES_TABLE": "leases",
            "EXPORT_METRICS_SECONDS": "0",
        }
        child = subprocess.Popen(
            [sys.executable, "-m", *module],
            env=settings,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(child, lambda: streams.calls["GetRecords"] >= 2)
            before = cpu_seconds(child.pid)
            last = table.removals()[-1][1]["dynamodb"]["SequenceNumber"]
            _wait(
                child,
                lambda: any(
                    row["checkpoint"]["S"] in {last, "SHARD_END"} for row in list(rows.rows.values())
                ),
            )
            used = cpu_seconds(child.pid) - before
        finally:
            if child.stdin is not None:
                child.stdin.close()
            end(child)
        lines = (Path(scratch) / "output").read_text().splitlines()
    entries = {json.loads(line)["auditId"] for line in lines if '"auditId"' in line}
    if len(entries) != records // RECORDS_PER_EXPORT:
        raise RuntimeError(f"{len(entries)} entries of {records // RECORDS_PER_EXPORT} were written")
    return used * 1e6 / (records - PAGE)


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
