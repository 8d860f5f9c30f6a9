"""Compares the sink `kinesis` with one Kinesis record an entry (`make bench`).

Both ways put the same pages of entries, in order, through the same client to a stand-in in another process
that answers at once. CPU is this process's own, making the entries' JSON included. Exits with 1 if a target
is missed.
"""

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from handlers.audit import AuditEntry
from processor.audit.sinks.kinesis import KinesisSink
from processor.aws.clients import Aws
from processor.settings import AwsSettings
from tests.audit.entries import entry, put_all
from tests.audit.sinks.test_kinesis import fill_throttled_shard
from tests.benchmarks.measuring import StandIn, Target, stand_in, verdict
from tests.benchmarks.standin_table import REGION

PAGE_ENTRIES = 1_000
BUCKETS = 16
STREAM = "export-audit"
WARM_UP_PAGES = 3
ROUNDS = 4
MAX_CALLS_A_PAGE = 1.0
MAX_RECORDS_OF_PLAIN = 0.02
MAX_CPU_OF_ORDERED = 0.5
MIN_RATE_OF_ORDERED = 2.0


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
        ordered = aggregated = Measured()
        for _ in range(ROUNDS):  # in turns, so that a busy machine slows both of them
            ordered += measure(service, lone, count // ROUNDS // 10)
            aggregated += measure(service, sink, count // ROUNDS)
    print_table({"one record an entry": ordered, "sink kinesis, aggregated": aggregated})
    new_share, used_share = fill_throttled_shard(readers=12)
    print(
        f"\n12 readers of one throttled shard: {new_share:.0%} of what it accepts is new,"
        f" and {used_share:.0%} of what it could accept is used"
    )
    calls = aggregated.calls * PAGE_ENTRIES / aggregated.entries
    records = aggregated.records / aggregated.entries
    cpu = aggregated.cpu_micros_per_entry / ordered.cpu_micros_per_entry
    rate = aggregated.entries_per_second / ordered.entries_per_second
    return verdict(
        [
            Target("share of new entries, throttled", new_share, 0.9, at_least=True),
            Target("calls a page", calls, MAX_CALLS_A_PAGE),
            Target("Kinesis records an entry", records, MAX_RECORDS_OF_PLAIN),
            Target("CPU an entry, of one record an entry", cpu, MAX_CPU_OF_ORDERED),
            Target("entries a second, of one record an entry", rate, MIN_RATE_OF_ORDERED, at_least=True),
        ]
    )


def measure(service: StandIn, sink: KinesisSink, count: int) -> Measured:
    """Puts `count` entries as the service does, after a warm-up.

    Raises:
        RuntimeError: if the sink refuses an entry.
    """

    def put(entries: Sequence[AuditEntry]) -> None:
        if put_all(sink, entries):
            raise RuntimeError("the sink refuses no entry of usual size")

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
    return [
        entry(f"{number:016x}{index:016x}", f"export-{number:08d}-{index:04d}")
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
