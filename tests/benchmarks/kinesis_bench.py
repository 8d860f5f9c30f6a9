"""Compares the sink `kinesis` with one Kinesis record an entry (`make bench`).

Three ways put the same pages of entries through the same client to a stand-in in another process that
answers at once: one record an entry with 500 records a call, which promises no order; one record an entry
with the sink's promise of order; and the real sink. CPU is this process's own, making the entries' JSON
included. Exits with 1 if a target is missed.
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from typing import Any

from handlers.audit import AuditEntry, AuditSource
from processor.audit.sinks.kinesis import KinesisSink
from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.settings import AwsSettings
from tests.audit.entries import put_all
from tests.audit.throttled_readers import simulate_throttled_readers
from tests.benchmarks.measuring import StandIn
from tests.benchmarks.standin_table import REGION

PAGE_ENTRIES = 1_000
RECORDS_A_CALL = 500
BUCKETS = 16
STREAM = "export-audit"
WARM_UP_PAGES = 3
ROUNDS = 4
MAX_CALLS_A_PAGE = 1.0
MAX_RECORDS_OF_PLAIN = 0.02
MAX_CPU_OF_ORDERED = 0.5
MIN_RATE_OF_ORDERED = 2.0
THROTTLED_READERS = 12
THROTTLED_SECONDS = 15.0
MIN_NEW_OF_ACCEPTED = 0.9

Put = Callable[[Sequence[AuditEntry]], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of putting entries took for them."""

    entries: int = 0
    calls: int = 0
    records: int = 0
    data_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(*(sum(pair) for pair in zip(astuple(self), astuple(other), strict=True)))

    @property
    def entries_per_second(self) -> float:
        return self.entries / self.seconds

    @property
    def cpu_micros_per_entry(self) -> float:
        return self.cpu_seconds * 1e6 / self.entries


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="entries of each of the two")
    count = parser.parse_args(arguments).entries
    print(f"Python {platform.python_version()}, {platform.machine()}; pages of {PAGE_ENTRIES} audit entries")
    with stand_in() as service:
        client = client_of(service.endpoint)
        lone = KinesisSink(client, STREAM, buckets=BUCKETS, target_bytes=1)
        sink = KinesisSink(client, STREAM, buckets=BUCKETS)
        plain = ordered = aggregated = Measured()
        for _ in range(ROUNDS):  # in turns, so that a busy machine slows all of them
            plain += measure(service, lambda entries: put_plainly(client, entries), count // ROUNDS)
            ordered += measure(service, lambda entries: put_through(lone, entries), count // ROUNDS // 10)
            aggregated += measure(service, lambda entries: put_through(sink, entries), count // ROUNDS)
    print_table(
        {
            "one record an entry, in no order": plain,
            "one record an entry, in order": ordered,
            "sink kinesis, aggregated, in order": aggregated,
        }
    )
    calls = aggregated.calls * PAGE_ENTRIES / aggregated.entries
    records = aggregated.records / aggregated.entries
    cpu = aggregated.cpu_micros_per_entry / ordered.cpu_micros_per_entry
    rate = aggregated.entries_per_second / ordered.entries_per_second
    new = simulate_throttled_readers(readers=THROTTLED_READERS, seconds=THROTTLED_SECONDS).new_share
    judged = [
        ("calls a page", calls, "at most", MAX_CALLS_A_PAGE, calls <= MAX_CALLS_A_PAGE),
        (
            "Kinesis records an entry",
            records,
            "at most",
            MAX_RECORDS_OF_PLAIN,
            records <= MAX_RECORDS_OF_PLAIN,
        ),
        (
            "CPU an entry, of one record in order",
            cpu,
            "at most",
            MAX_CPU_OF_ORDERED,
            cpu <= MAX_CPU_OF_ORDERED,
        ),
        ("entries a second, in order", rate, "at least", MIN_RATE_OF_ORDERED, rate >= MIN_RATE_OF_ORDERED),
        (
            f"new entries of what a shard accepts from {THROTTLED_READERS} readers",
            new,
            "at least",
            MIN_NEW_OF_ACCEPTED,
            new >= MIN_NEW_OF_ACCEPTED,
        ),
    ]
    print()
    for what, value, bound, limit, met in judged:
        print(f"{'ok  ' if met else 'MISS'} {what}: {value:.3g} ({bound} {limit:g})")
    return 0 if all(met for *_, met in judged) else 1


def put_plainly(client: Any, entries: Sequence[AuditEntry]) -> None:
    """One Kinesis record an entry, as many a call as PutRecords takes."""
    for first in range(0, len(entries), RECORDS_A_CALL):
        records = [
            {"Data": entry.to_json().encode(), "PartitionKey": entry.request_id}
            for entry in entries[first : first + RECORDS_A_CALL]
        ]
        answer = call(client.put_records, StreamName=STREAM, Records=records)
        if any("SequenceNumber" not in result for result in answer["Records"]):
            raise RuntimeError("the stand-in takes every record")


def put_through(sink: KinesisSink, entries: Sequence[AuditEntry]) -> None:
    """As the service does."""
    if put_all(sink, entries):
        raise RuntimeError("the sink refuses no entry of usual size")


def measure(service: StandIn, put: Put, count: int) -> Measured:
    """Puts `count` entries after a warm-up."""
    for number in range(WARM_UP_PAGES):
        put(page(number))
    # Entries are made before the clock starts: making them is not the sink's work.
    pages = [page(number) for number in range(WARM_UP_PAGES, WARM_UP_PAGES + max(1, count // PAGE_ENTRIES))]
    before = service.state()
    begun, cpu_before = time.perf_counter(), time.process_time()
    for entries in pages:
        put(entries)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_before
    after = service.state()
    return Measured(
        entries=len(pages) * PAGE_ENTRIES,
        calls=after["calls"]["PutRecords"] - before["calls"]["PutRecords"],
        records=after["records"] - before["records"],
        data_bytes=(after["data_chars"] - before["data_chars"]) * 3 // 4,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def page(number: int) -> list[AuditEntry]:
    """A page of entries as an expiry makes them, each of another export."""
    source = AuditSource(
        table="export-status",
        region=REGION,
        stream_arn=f"arn:aws:dynamodb:{REGION}:123456789012:table/export-status/stream/2026-11-22T00:00:00.000",
        shard_id="shardId-00000001795341600000-0a1b2c3d",
        sequence_number=f"{number:021d}",
    )
    return [
        AuditEntry(
            audit_id=f"{number:016x}{index:016x}",
            action="export.expired",
            request_id=f"export-{number:08d}-{index:04d}",
            last_status="completed",
            finished=True,
            created_at="2026-11-22T10:00:00.000Z",
            updated_at="2026-11-22T10:00:07.250Z",
            expires_at="2026-11-22T10:15:00.000Z",
            deleted_at="2026-11-22T10:15:41.000Z",
            deletion_lag_seconds=41,
            file_name="report.csv",
            error=None,
            had_signed_url=True,
            actor={"type": "Service", "principal_id": "dynamodb.amazonaws.com"},
            source=source,
        )
        for index in range(PAGE_ENTRIES)
    ]


def client_of(endpoint: str) -> Any:
    """The client that the service uses, for the stand-in."""
    settings = AwsSettings(
        region=REGION,
        endpoints={"kinesis": endpoint},
        access_key_id="bench",
        secret_access_key="bench",
    )
    return Aws(settings).kinesis()


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """The stand-in in its own process."""
    command = [sys.executable, "-m", "tests.benchmarks.kinesis_standin"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with closing(StandIn(int(process.stdout.readline()))) as control:
                yield control
        finally:
            process.kill()


def print_table(measured: dict[str, Measured]) -> None:
    """One line for each way, with its ratio to the first in brackets."""
    first = next(iter(measured.values()))
    print("\n| way | entries | calls/1000 | records/1000 | bytes/entry | CPU µs/entry | entries/s |")
    print("|---|---|---|---|---|---|---|")
    for name, it in measured.items():
        cells = [
            f"{it.entries:,}",
            f"{it.calls * 1_000 / it.entries:.1f}",
            f"{it.records * 1_000 / it.entries:.0f}",
            f"{it.data_bytes / it.entries:.0f}",
            f"{it.cpu_micros_per_entry:.1f} ({it.cpu_micros_per_entry / first.cpu_micros_per_entry:.2f})",
            f"{it.entries_per_second:,.0f} ({it.entries_per_second / first.entries_per_second:.2f})",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
