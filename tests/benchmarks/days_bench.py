"""The service on ordinary days: idle, 2, 20, 100 and 400 events a second, and after an outage (`make bench`).

A careful hand-written consumer stands next to it, on the same days. Events arrive by the clock with short
pages (see `standin_world`); calls and CPU are counted from the first arrival to the last delete, so they
include polls that find nothing. Exits with 1 if a target is missed. Needs Linux (/proc).
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.measuring import Consumer, Round, State, Target, verdict
from tests.benchmarks.standin_world import DayPlan
from tests.benchmarks.transitions_bench import CAREFUL, SERVICE

LATENCY_MS = 5.0
IDLE, RECOVERY = "idle", "recovery"
DAYS = {
    "a lone event every half second": DayPlan(2, 20, even=True),
    "2/s": DayPlan(2, 40),
    "20/s": DayPlan(20, 30),
    "100/s": DayPlan(100, 20),
    "400/s": DayPlan(400, 15),
}
IDLE_SECONDS = 40.0
MAX_CALLS_PER_EVENT = {"20/s": 1.3, "100/s": 0.55, "400/s": 0.42}
MAX_P99_SECONDS = 0.2 + 0.2  # EXPORT_LINGER_SECONDS and what the contract adds (docs/contract.md, section 3)
MAX_LONE_SECONDS = 0.05
MAX_CPU_OF_A_CORE_AT_100 = 0.015
WARM_UP = DayPlan(50, 2)  # so that start-up is in no figure
OUTAGE = DayPlan(1_200, 30, held_seconds=12)
OUTAGE_TTL_SECONDS = 6
MAX_RECOVERY_SECONDS = 10.0


def recovery(scratch: Path) -> list[Target]:
    """After an outage of twice the TTL at 1,200 events a second: seconds from the queue's return."""
    ttl = str(OUTAGE_TTL_SECONDS)
    with Consumer(SERVICE, LATENCY_MS, scratch, EXPORT_STATUS_TTL_SECONDS=ttl) as service:
        service.day(WARM_UP)
        back = time.perf_counter() + OUTAGE.held_seconds
        service.begin_day(OUTAGE)

        def seconds_until(condition: Callable[[State], bool]) -> float:
            state = service.until(lambda state: condition(state) or not state["arriving"])
            return time.perf_counter() - back if condition(state) else math.inf

        rate = OUTAGE.events_per_second
        first = seconds_until(lambda state: state["counts"]["late_written"] > 0)
        steady = seconds_until(lambda state: state["counts"]["late_written"] > rate / 2)
        gone = seconds_until(lambda state: 0 < state["waiting"] < rate)
    return [
        Target("seconds until a fresh event was written after the outage", first, MAX_RECOVERY_SECONDS),
        Target("seconds until fresh events were written steadily", steady, MAX_RECOVERY_SECONDS),
        Target("seconds until the backlog was gone", gone, OUTAGE.seconds - OUTAGE.held_seconds),
    ]


def main(arguments: Sequence[str]) -> int:
    """Measures, prints and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[IDLE, *DAYS, RECOVERY], default=[IDLE, *DAYS, RECOVERY])
    only = parser.parse_args(arguments).only
    targets: list[Target] = []
    print(f"Ordinary days: every answer takes {LATENCY_MS:g} ms, short pages, one task\n")
    print("| day | consumer | events | calls/event | CPU µs/event | CPU % of a core | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        if only != [RECOVERY]:
            targets += measure_days(Path(scratch), only)
        if RECOVERY in only:
            targets += recovery(Path(scratch))
    return verdict(targets)


def measure_days(scratch: Path, only: Sequence[str]) -> list[Target]:
    """Measures both consumers on these days; what the service reached."""
    targets: list[Target] = []
    modules = {"service": SERVICE, "careful loop": CAREFUL}
    with ExitStack() as running:
        consumers = {
            name: running.enter_context(Consumer(module, LATENCY_MS, scratch))
            for name, module in modules.items()
        }
        for consumer in consumers.values():
            consumer.day(WARM_UP)
        if IDLE in only:
            for name, consumer in consumers.items():
                print_row(IDLE, name, consumer.idle(IDLE_SECONDS))
        for day in [day for day in DAYS if day in only]:
            for name, consumer in consumers.items():
                measured = consumer.day(DAYS[day])
                print_row(day, name, measured)
                if name == "service":
                    targets += targets_of(day, measured)
    return targets


def targets_of(day: str, measured: Round) -> list[Target]:
    """What the service must reach on a day."""
    targets = []
    if day in MAX_CALLS_PER_EVENT:
        targets = [
            Target(f"calls an event at {day}", measured.calls_per_event, MAX_CALLS_PER_EVENT[day]),
            Target(f"p99 from arrival to write at {day}", measured.latency(0.99), MAX_P99_SECONDS),
        ]
    if day == "100/s":
        targets.append(Target("CPU of a core at 100/s", measured.cpu_of_a_core, MAX_CPU_OF_A_CORE_AT_100))
    if day.startswith("a lone event"):
        targets.append(Target("p99 of a lone event", measured.latency(0.99), MAX_LONE_SECONDS))
    return targets


def print_row(day: str, name: str, measured: Round) -> None:
    """One line of the table."""
    idle = day == IDLE
    cells = [
        f"{measured.events:,}",
        f"{sum(measured.calls.values()) / measured.seconds:.2f}/s"
        if idle
        else f"{measured.calls_per_event:.2f}",
        "-" if idle else f"{measured.cpu_micros_per_event:,.0f}",
        f"{measured.cpu_of_a_core * 100:.2f}",
        "-" if idle else f"{measured.latency(0.5) * 1e3:.0f}",
        "-" if idle else f"{measured.latency(0.99) * 1e3:.0f}",
    ]
    print(f"| {day} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
