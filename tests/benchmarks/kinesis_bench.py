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
from functools import reduce
from operator import add

from handlers.audit import AuditEntry
from processor.audit.sinks.kinesis import KinesisSink
from processor.aws.clients import Aws
from processor.settings import AwsSettings
from tests.audit.entries import entry, put_all
from tests.audit.sinks.test_kinesis import fill_throttled_shard
from tests.benchmarks.measuring import Meter, Round, StandIn, Target, stand_in, verdict
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


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="entries of each of the two")
    count = parser.parse_args(arguments).entries
    print(f"Python {platform.python_version()}, {platform.machine()}; pages of {PAGE_ENTRIES} audit entries")
    with stand_in() as service:
        endpoints = {"kinesis": service.endpoint}
        keys = {"access_key_id": "bench", "secret_access_key": "bench"}
        client = Aws(AwsSettings(region=REGION, endpoints=endpoints, **keys)).kinesis()
        lone = KinesisSink(client, STREAM, buckets=BUCKETS, target_bytes=1)
        sink = KinesisSink(client, STREAM, buckets=BUCKETS)
        pairs = [  # in turns, so that a busy machine slows both of them
            (measure(service, lone, count // ROUNDS // 10), measure(service, sink, count // ROUNDS))
            for _ in range(ROUNDS)
        ]
    ordered, aggregated = (reduce(add, rounds) for rounds in zip(*pairs, strict=True))
    print_table({"one record an entry": ordered, "sink kinesis, aggregated": aggregated})
    new_share, used_share = fill_throttled_shard(readers=12)
    print(
        f"\n12 readers of one throttled shard: {new_share:.0%} of what it accepts is new,"
        f" and {used_share:.0%} of what it could accept is used"
    )
    calls = aggregated.calls_per_event * PAGE_ENTRIES
    records = aggregated.counts["records"] / aggregated.events
    cpu = aggregated.cpu_micros_per_event / ordered.cpu_micros_per_event
    rate = aggregated.events_per_second / ordered.events_per_second
    return verdict(
        [
            Target("share of new entries, throttled", new_share, 0.9, at_least=True),
            Target("calls a page", calls, MAX_CALLS_A_PAGE),
            Target("Kinesis records an entry", records, MAX_RECORDS_OF_PLAIN),
            Target("CPU an entry, of one record an entry", cpu, MAX_CPU_OF_ORDERED),
            Target("entries a second, of one record an entry", rate, MIN_RATE_OF_ORDERED, at_least=True),
        ]
    )


def measure(service: StandIn, sink: KinesisSink, count: int) -> Round:
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
    meter = Meter(service, time.process_time)
    for entries in pages:
        put(entries)
    return meter.round(len(pages) * PAGE_ENTRIES)


def page(number: int) -> list[AuditEntry]:
    """A page of entries as an expiry makes them, each of another export."""
    return [
        entry(f"{number:016x}{index:016x}", f"export-{number:08d}-{index:04d}")
        for index in range(PAGE_ENTRIES)
    ]


def print_table(measured: dict[str, Round]) -> None:
    """One line for each way, with its ratio to the first in brackets."""
    first = next(iter(measured.values()))
    print("\n| way | entries | calls/1000 | records/1000 | bytes/entry | CPU µs/entry | entries/s |")
    print("|---|---|---|---|---|---|---|")
    for name, it in measured.items():
        cells = [
            f"{it.events:,}",
            f"{it.calls_per_event * 1_000:.1f}",
            f"{it.counts['records'] * 1_000 / it.events:.0f}",
            f"{it.counts['data_chars'] * 3 // 4 / it.events:.0f}",
            f"{it.cpu_micros_per_event:.1f} ({it.cpu_micros_per_event / first.cpu_micros_per_event:.2f})",
            f"{it.events_per_second:,.0f} ({it.events_per_second / first.events_per_second:.2f})",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
