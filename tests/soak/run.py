"""Runs a soak: the same tasks through one course of faults after the other, and what they take after each.

No task is killed here, that is for `tests.faults`: what memory, files and threads do over time shows only in
processes that stay.
"""

import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from processor.observability.metrics import Metric
from tests.benchmarks.measuring import cpu_seconds, resident_mib
from tests.faults.backends import Backends
from tests.faults.fleet import Fleet
from tests.faults.run import Course, TooSlow, ended_wrongly, fleet
from tests.faults.schedule import Action, Move, Schedule, Size, draw
from tests.faults.world import World
from tests.soak.growth import growing

SENDING_SECONDS = 20.0
MESSAGES_PER_EXPORT = 4
LEAST_EXPORTS = 20
SHARDS = 4
"""Of the table's stream, so that tasks share them."""

VISIBILITY_SECONDS = 8
FAILOVER_SECONDS = 10
KEPT_SECONDS = 180.0
"""How long the stream keeps its records; tasks read them within seconds."""

UNWANTED = (Metric.GAPS, Metric.QUARANTINED, Metric.LOG_LINES_LOST, Metric.METRICS_REFUSED)
"""Counters that nothing in a soak may raise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for."""

    seconds: float
    """No round begins after them."""
    rate: float
    """Events a second while a round sends."""
    tasks: int
    seed: int
    lead_seconds: float
    """From a round's last message to the end of its exports: back-offs and redeliveries must fit in."""

    def schedule(self, number: int) -> Schedule:
        """A round: the usual faults, and all shards roll over."""
        sending = min(SENDING_SECONDS, self.seconds)
        messages = round(self.rate * sending)
        exports = max(LEAST_EXPORTS, messages // MESSAGES_PER_EXPORT)
        size = Size(exports, messages, sending, sending + self.lead_seconds, VISIBILITY_SECONDS)
        return replace(
            draw(self.seed * 1_000_000 + number, size),
            tasks=self.tasks,
            receivers=4,
            write_mode="auto",
            shards=SHARDS,
            failover_seconds=FAILOVER_SECONDS,
            while_sending=(Action(sending / 2, Move.ROLL_ALL),),
            while_ending=(),
        )


@dataclass(slots=True)
class Result:
    """What came of a soak."""

    rounds: int = 0
    messages: int = 0
    is_whole: bool = True
    """Whether it was not interrupted."""
    wrong: list[str] = field(default_factory=list)
    uses: list[Mapping[str, float]] = field(default_factory=list)
    """After each round: MiB and open files of the task with most of them, threads of all."""

    def verdict(self) -> tuple[bool, str]:
        """Whether all is as it must be, and one line about it."""
        grown = growing(self.uses)
        if self.wrong or grown:
            return False, "verdict: not as it must be"
        flat = "too few rounds to tell growth" if grown is None else "memory, files and threads are flat"
        return True, f"verdict: nothing lost of {self.messages:,} messages; {flat}"


def soak(asked: Asked, at: Backends, say: Callable[[str], None]) -> Result:
    """Runs rounds until the time is over. Ctrl-C (KeyboardInterrupt) ends it early, with a result.

    Args:
        asked: what to do.
        at: the emulators.
        say: called with a line for each round, and each thing that is wrong.
    """
    result = Result()
    first = asked.schedule(0)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as home,
        World(at, shards=SHARDS, visibility_seconds=VISIBILITY_SECONDS) as world,
    ):
        tasks = fleet(first, world, Path(home), {"EXPORT_METRICS_SECONDS": "1"})
        try:
            tasks.start()
            _run_rounds(asked, world, tasks, result, say)
            tasks.stop()
            result.wrong += ended_wrongly(tasks, world)
        except TooSlow as slow:
            result.wrong.append(f"the rate is too high for this machine: {slow}")
        except KeyboardInterrupt:
            result.is_whole = False
            say("interrupted: the last round is in no verdict")
        finally:
            tasks.kill()
    for each in [*result.wrong, *(growing(result.uses) or [])]:
        say(f"FAIL {each}")
    return result


def _run_rounds(asked: Asked, world: World, tasks: Fleet, result: Result, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    lines_seen: Counter[str] = Counter()
    say("round messages p50 ms p99 ms faults  CPU s    MiB files threads")
    while not result.rounds or time.monotonic() - began < asked.seconds:
        schedule = asked.schedule(result.rounds)
        course = Course(schedule, world, tasks, lambda _: None)
        course.run()
        report = course.report()
        world.front.forget(KEPT_SECONDS)
        lines: list[dict[str, Any]] = []
        for task in tasks.tasks:
            written = task.lines("metrics")
            lines += written[lines_seen[task.name] :]
            lines_seen[task.name] = len(written)
        pids = [task.process.pid for task in tasks.tasks]
        use = used_by(pids)
        result.rounds += 1
        result.messages += schedule.size.messages
        result.uses.append(use)
        result.wrong += [f"round {result.rounds}: {each}" for each in report.details()]
        result.wrong += [
            f"round {result.rounds}: {metric.value} is {count:.0f}"
            for metric in UNWANTED
            if (count := math.fsum(line.get(metric.value, 0) for line in lines))
        ]
        latencies = [each for line in lines for each in line.get(Metric.SENT_TO_APPLIED.value, ())]
        say(
            f"{result.rounds:5} {schedule.size.messages:8} {percentile(latencies, 50):6.0f}"
            f" {percentile(latencies, 99):6.0f} {world.proxy.faults:6}"
            f" {math.fsum(map(cpu_seconds, pids)):6.1f} {use['MiB']:6.1f} {use['files']:5.0f}"
            f" {use['threads']:7.0f}  {report.line()}"
        )


def used_by(pids: Sequence[int]) -> dict[str, float]:
    """What tasks take at this moment, by the kernel's account (proc(5))."""
    return {
        "MiB": max(resident_mib(pid) for pid in pids),
        "files": max(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        "threads": sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank; not a number where there are no values."""
    ordered = sorted(values)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else math.nan
