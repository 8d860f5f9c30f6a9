"""Compares the service with two hand-written consumers on one stand-in (`make bench`).

Each runs as its own process, one after the other; every figure is without start-up (see `measuring`).
The careful loop runs before and after the service, and the better of its two runs is what the service is
held against: a machine that is busy for a while cannot flatter it. Exits with 1 if a target is missed.
Needs Linux (/proc).
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measuring import Measured, measure

NAIVE = ("tests.benchmarks.naive_loop",)
CAREFUL = ("tests.benchmarks.careful_loop",)
SERVICE = ("processor", "run", "--only", "transitions")

MAX_CALLS_PER_EVENT = 0.26
MAX_CPU_OF_CAREFUL = 0.30
MIN_RATE_OF_CAREFUL = 3.5
MAX_PEAK_MIB = 150.0
MAX_GROWTH_MIB = (
    8.0  # from a tenth of the events to the last: caches fill and heaps breathe, leaks do not stop
)


@dataclass(frozen=True, slots=True)
class Target:
    """One figure that must hold."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def main(arguments: Sequence[str]) -> int:
    """Measures, prints, and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="events of the service without latency")
    events = parser.parse_args(arguments).events
    print(f"Python {platform.python_version()}, {platform.machine()}; start-up and warm-up are in no figure")
    targets: list[Target] = []
    for latency_ms, share in ((0.0, 1.0), (5.0, 0.25)):
        measured = measure_all(events, share, latency_ms)
        print(f"\nEvery answer takes {latency_ms:g} ms\n")
        print_table(measured)
        targets += targets_of(measured["service"], measured["careful loop"], latency_ms)
    print()
    for target in targets:
        bound = "at least" if target.at_least else "at most"
        print(
            f"{'ok  ' if target.met else 'MISS'} {target.name}: {target.value:.3g} ({bound} {target.limit:g})"
        )
    return 0 if all(target.met for target in targets) else 1


def measure_all(events: int, share: float, latency_ms: float) -> dict[str, Measured]:
    """Each consumer's figures; the slow ones get fewer events, so that each runs for some ten seconds."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        careful = measure(CAREFUL, round(events * 0.05), latency_ms, scratch)
        service = measure(SERVICE, round(events * share), latency_ms, scratch)
        again = measure(CAREFUL, round(events * 0.05), latency_ms, scratch)
        naive = measure(NAIVE, round(events * 0.01), latency_ms, scratch)
    better = min(careful, again, key=lambda one: one.cpu_micros_per_event)
    return {"naive loop": naive, "careful loop": better, "service": service}


def targets_of(service: Measured, careful: Measured, latency_ms: float) -> list[Target]:
    """What the service must reach beside the careful loop."""
    at = f"at {latency_ms:g} ms"
    rate = service.events_per_second / careful.events_per_second
    cpu = service.cpu_micros_per_event / careful.cpu_micros_per_event
    return [
        Target(f"calls an event {at}", service.calls_per_event, MAX_CALLS_PER_EVENT),
        Target(f"CPU an event, of the careful loop's, {at}", cpu, MAX_CPU_OF_CAREFUL),
        Target(f"events a second, of the careful loop's, {at}", rate, MIN_RATE_OF_CAREFUL, at_least=True),
        Target(f"peak memory in MiB {at}", service.peak_mib, MAX_PEAK_MIB),
        Target(f"growth in MiB over {service.events} events {at}", service.growth_mib, MAX_GROWTH_MIB),
        Target(f"writes refused {at}", service.refused, service.events * 0.001),
        Target(f"dead letters {at}", service.dead_lettered, 0),
        Target(f"exit status {at}", service.exit_status, 0),
    ]


def print_table(measured: dict[str, Measured]) -> None:
    """One line for each consumer, with its ratio to the careful loop in brackets."""
    careful = measured["careful loop"]
    print("| consumer | events | calls/event | CPU µs/event | events/s | peak MiB | growth MiB |")
    print("|---|---|---|---|---|---|---|")
    for name, it in measured.items():
        cells = [
            f"{it.events:,}",
            f"{it.calls_per_event:.3f} ({it.calls_per_event / careful.calls_per_event:.2f})",
            f"{it.cpu_micros_per_event:,.0f} ({it.cpu_micros_per_event / careful.cpu_micros_per_event:.2f})",
            f"{it.events_per_second:,.0f} ({it.events_per_second / careful.events_per_second:.2f})",
            f"{it.peak_mib:.0f}",
            f"{it.growth_mib:+.1f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    for name, it in measured.items():
        print(f"{name}: " + ", ".join(f"{count:,} {call}" for call, count in sorted(it.calls.items())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
