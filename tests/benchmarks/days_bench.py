"""The service on ordinary days: idle, 2, 20, 100 and 400 events a second, and after an outage (`make bench`).

A careful hand-written consumer stands next to it, on the same days. Events arrive by the clock with short
pages (see `standin_day`); calls and CPU are counted from the first arrival to the last delete, so they
include polls that find nothing. Exits with 1 if a target is missed. Needs Linux (/proc).
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import STDOUT, Popen
from typing import Any, Self

from tests.benchmarks.measuring import (
    PATIENCE_SECONDS,
    StandIn,
    Target,
    cpu_seconds,
    end,
    environment,
    stand_in,
    verdict,
)
from tests.benchmarks.standin_day import DayPlan
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
OUTAGE = DayPlan(1_200, 30, held_seconds=12)
OUTAGE_TTL_SECONDS = 6
MAX_RECOVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DayMeasured:
    """What one consumer took for one day."""

    events: int
    seconds: float
    calls: Mapping[str, int]
    cpu_seconds: float
    latencies: Sequence[float]

    @property
    def calls_per_event(self) -> float:
        return sum(self.calls.values()) / max(1, self.events)

    @property
    def cpu_micros_per_event(self) -> float:
        return self.cpu_seconds * 1e6 / max(1, self.events)

    @property
    def cpu_of_a_core(self) -> float:
        return self.cpu_seconds / self.seconds

    def latency(self, part: float) -> float:
        """The time from arrival to write within which this part of the events was written (seconds)."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


class DayConsumer:
    """One consumer as a child process on a stand-in whose events arrive by the clock."""

    def __init__(self, module: Sequence[str], scratch: Path, **settings: str) -> None:
        self._module = module
        self._scratch = scratch
        self._settings = settings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._service = self._stack.enter_context(stand_in(LATENCY_MS, "--day"))
        output = self._stack.enter_context((self._scratch / f"output-{self._module[0]}").open("w"))
        health_file = self._scratch / f"health-{self._module[0]}"
        self._child = Popen(
            [sys.executable, "-m", *self._module],
            env=environment(self._service.endpoint, health_file) | self._settings,
            stdout=output,
            stderr=STDOUT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        end(self._child)
        self._stack.close()

    def idle(self, seconds: float) -> DayMeasured:
        """Measures a time without events."""
        return self._measured(lambda _state, since: time.perf_counter() - since >= seconds)

    def day(self, plan: DayPlan) -> DayMeasured:
        """Measures a day, from its first arrival to its last delete."""
        self._service.begin_day(asdict(plan))
        return self._measured(lambda state, _since: not state["arriving"] and not state["waiting"])

    def warm_up(self) -> None:
        """Consumes a few events, so that start-up is in no figure."""
        self.day(DayPlan(50, 2))

    def begin(self, plan: DayPlan) -> None:
        """Begins a day without waiting for its end."""
        self._service.begin_day(asdict(plan))

    def until(self, condition: Callable[[Mapping[str, Any]], bool]) -> float:
        """Waits until a condition on the counts holds; when that was (`time.perf_counter()`), infinite if it
        was not while events arrived."""
        wait_for(self._service, lambda state: condition(state) or not state["arriving"], self._child)
        return time.perf_counter() if condition(self._service.state()) else float("inf")

    def _measured(self, is_over: Callable[[Mapping[str, Any], float], bool]) -> DayMeasured:
        before, cpu_before, since = self._service.state(), cpu_seconds(self._child.pid), time.perf_counter()
        wait_for(self._service, lambda state: is_over(state, since), self._child)
        after = self._service.state()
        seconds, cpu = time.perf_counter() - since, cpu_seconds(self._child.pid) - cpu_before
        calls = Counter(after["calls"])
        calls.subtract(before["calls"])
        events = after["deleted"] - before["deleted"]
        return DayMeasured(events, seconds, +calls, cpu, after["latencies"])


def wait_for(service: StandIn, condition: Callable[[Mapping[str, Any]], bool], child: "Popen[bytes]") -> None:
    """Waits until the stand-in's counts meet a condition.

    Raises:
        RuntimeError: if the consumer ends by itself, or deletes nothing for a minute.
    """
    pause, since = threading.Event(), time.perf_counter()
    deleted, progress_at = -1, since
    while True:
        state = service.state()
        if condition(state):
            return
        if state["deleted"] != deleted:
            deleted, progress_at = state["deleted"], time.perf_counter()
        if child.poll() is not None or time.perf_counter() - progress_at > 2 * PATIENCE_SECONDS:
            raise RuntimeError(f"the consumer has stopped after {deleted} events")
        pause.wait(0.1)


def recovery(scratch: Path) -> tuple[float, float, float]:
    """An outage of twice the TTL at 1,200 events a second.

    Returns:
        Seconds from the queue's return until the first fresh event was written, until half a second's
        worth of them was, and until the backlog was gone.
    """
    ttl = str(OUTAGE_TTL_SECONDS)
    with DayConsumer(SERVICE, scratch, EXPORT_STATUS_TTL_SECONDS=ttl) as service:
        service.warm_up()
        begun = time.perf_counter()
        service.begin(OUTAGE)
        first = service.until(lambda state: len(state["late_latencies"]) > 0)
        steady = service.until(lambda state: len(state["late_latencies"]) > OUTAGE.events_per_second / 2)
        gone = service.until(lambda state: state["sent"] > 0 and state["waiting"] < OUTAGE.events_per_second)
        back = begun + OUTAGE.held_seconds
        return first - back, steady - back, gone - back


def main(arguments: Sequence[str]) -> int:
    """Measures, prints and judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time a day")
    parser.add_argument("--only", nargs="+", choices=[IDLE, *DAYS, RECOVERY], default=[IDLE, *DAYS, RECOVERY])
    options = parser.parse_args(arguments)
    share, only = 0.2 if options.quick else 1.0, options.only
    targets: list[Target] = []
    print(f"Ordinary days: every answer takes {LATENCY_MS:g} ms, short pages, one task\n")
    print("| day | consumer | events | calls/event | CPU µs/event | CPU % of a core | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        if only != [RECOVERY]:
            targets += measure_days(Path(scratch), only, share)
        if RECOVERY in only:
            targets += recovery_targets(*recovery(Path(scratch)))
    return verdict(targets)


def measure_days(scratch: Path, only: Sequence[str], share: float) -> list[Target]:
    """Measures both consumers on these days, a share of each; what the service reached."""
    targets: list[Target] = []
    with DayConsumer(SERVICE, scratch) as service, DayConsumer(CAREFUL, scratch) as careful:
        consumers = {"service": service, "careful loop": careful}
        for consumer in consumers.values():
            consumer.warm_up()
        if IDLE in only:
            for name, consumer in consumers.items():
                print_row(IDLE, name, consumer.idle(IDLE_SECONDS * share))
        for day in [day for day in DAYS if day in only]:
            plan = DAYS[day]
            shorter = DayPlan(plan.events_per_second, plan.seconds * share, plan.even)
            for name, consumer in consumers.items():
                measured = consumer.day(shorter)
                print_row(day, name, measured)
                if name == "service":
                    targets += targets_of(day, measured)
    return targets


def targets_of(day: str, measured: DayMeasured) -> list[Target]:
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


def recovery_targets(first: float, steady: float, gone: float) -> list[Target]:
    """After an outage of twice the TTL."""
    return [
        Target("seconds until a fresh event was written after the outage", first, MAX_RECOVERY_SECONDS),
        Target("seconds until fresh events were written steadily", steady, MAX_RECOVERY_SECONDS),
        Target("seconds until the backlog was gone", gone, OUTAGE.seconds - OUTAGE.held_seconds),
    ]


def print_row(day: str, name: str, measured: DayMeasured) -> None:
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
