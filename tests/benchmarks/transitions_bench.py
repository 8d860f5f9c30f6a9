"""Compares the service, on both ways of calling AWS, with boto3's floor on one stand-in (`make bench`).

The floor is a bare boto3 loop with full batches; a careful hand-written consumer stands next to it.

Each is a separate process and stays up. They take turns, round after round, so that a machine that is
busy for a while slows all of them. CPU and rate are those of the median round, the judged ratios the medians
of each round's own ratio, and start-up is in no figure (see `measuring`). Exits with 1 if a target is missed.
Needs Linux (/proc).
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.benchmarks.measuring import Consumer, Measured, Target, verdict

FLOOR = ("tests.benchmarks.loops", "floor")
CAREFUL = ("tests.benchmarks.loops", "careful")
SERVICE = ("processor", "run", "--only", "transitions")

ROUNDS = 10

MAX_CALLS_PER_EVENT = 0.26
MAX_CPU_OF_FLOOR = 0.55
MIN_RATE_OF_FLOOR = 1.4
MAX_PEAK_MIB = 150.0
# From the first round to the last: caches fill and heaps breathe, a leak would not stop.
MAX_GROWTH_MIB = 8.0


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events of the service without latency")
    events = parser.parse_args(arguments).events
    print(f"Python {platform.python_version()}, {platform.machine()}; {ROUNDS} rounds")
    targets: list[Target] = []
    for latency_ms, share in ((0.0, 1.0), (5.0, 0.25)):
        measured = compare(round(events * share), latency_ms)
        print(f"\nEvery answer takes {latency_ms:g} ms\n")
        print_table(measured)
        targets += targets_of(measured["service"], measured["boto3's floor"], latency_ms)
    return verdict(targets)


def compare(events: int, latency_ms: float) -> dict[str, Measured]:
    """Each consumer's figures. The slow one gets fewer events, so that each turn takes some seconds."""
    a_round = dict.fromkeys(("boto3's floor", "service, boto3's way", "service"), events // ROUNDS)
    a_round["careful loop"] = events // 200
    modules = {
        "boto3's floor": (FLOOR, {}),
        "careful loop": (CAREFUL, {}),
        "service, boto3's way": (SERVICE, {"EXPORT_FAST_CALLS": "off"}),
        "service": (SERVICE, {}),
    }
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as running:
        consumers = {
            name: running.enter_context(Consumer(module, latency_ms, Path(scratch), **settings))
            for name, (module, settings) in modules.items()
        }
        for name, consumer in consumers.items():
            consumer.warm_up(a_round[name] // 2)
        for _ in range(ROUNDS):
            for name, consumer in consumers.items():
                consumer.consume(a_round[name])
        running.close()
        return {name: consumer.measured() for name, consumer in consumers.items()}


def targets_of(service: Measured, floor: Measured, latency_ms: float) -> list[Target]:
    """What the service must reach, compared with boto3's floor."""
    at = f"at {latency_ms:g} ms"
    pairs = list(zip(service.rounds, floor.rounds, strict=True))
    rate = median(ours.events_per_second / theirs.events_per_second for ours, theirs in pairs)
    cpu = median(ours.cpu_micros_per_event / theirs.cpu_micros_per_event for ours, theirs in pairs)
    return [
        Target(f"calls an event {at}", service.calls_per_event, MAX_CALLS_PER_EVENT),
        Target(f"CPU an event, of boto3's floor, {at}", cpu, MAX_CPU_OF_FLOOR),
        Target(f"events a second, of boto3's floor, {at}", rate, MIN_RATE_OF_FLOOR, at_least=True),
        Target(f"peak memory in MiB {at}", service.peak_mib, MAX_PEAK_MIB),
        Target(f"growth in MiB over {service.total.events} events {at}", service.growth_mib, MAX_GROWTH_MIB),
        Target(f"writes refused {at}", service.total.counts["refused"], service.total.events * 0.001),
        Target(f"dead letters {at}", service.dead_lettered, 0),
        Target(f"exit status {at}", service.exit_status, 0),
    ]


def print_table(measured: dict[str, Measured]) -> None:
    """One line for each consumer, with its ratio to boto3's floor in brackets."""
    floor = measured["boto3's floor"]
    print("| consumer | events | calls/event | CPU µs/event | events/s | peak MiB | growth MiB |")
    print("|---|---|---|---|---|---|---|")
    for name, it in measured.items():
        cells = [
            f"{it.total.events:,}",
            f"{it.calls_per_event:.3f} ({it.calls_per_event / floor.calls_per_event:.2f})",
            f"{it.cpu_micros_per_event:,.0f} ({it.cpu_micros_per_event / floor.cpu_micros_per_event:.2f})",
            f"{it.events_per_second:,.0f} ({it.events_per_second / floor.events_per_second:.2f})",
            f"{it.peak_mib:.0f}",
            f"{it.growth_mib:+.1f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    for name, it in measured.items():
        print(f"{name}: " + ", ".join(f"{count:,} {call}" for call, count in sorted(it.total.calls.items())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
