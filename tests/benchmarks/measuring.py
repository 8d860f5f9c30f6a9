"""Runs one consumer as a child process against the stand-in, and measures it from the outside.

CPU is read from the kernel's account of the child (all threads, user and system) before a round's events
come and again when the last of them is deleted, so that start-up and imports are in no figure.
"""

import http.client
import json
import operator
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import reduce
from pathlib import Path
from statistics import median
from typing import Any, Self

from tests.benchmarks.standin_table import ACCOUNT, REGION, TABLE
from tests.benchmarks.standin_world import DLQ, QUEUE, DayPlan

PATIENCE_SECONDS = 120.0
STOP_SECONDS = 40.0
OUTPUT_SHOWN_CHARS = 4_000
KIB = 1_024

State = Mapping[str, Any]
"""The stand-in's counts."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one consumer took for the events of one round."""

    events: int
    calls: Counter[str]
    counts: Counter[str]  # of the stand-in, by their names in `World.state`
    seconds: float
    cpu_seconds: float
    latencies: list[float]  # of a day, from arrival to write

    def __add__(self, other: "Round") -> "Round":
        mine, theirs = ([getattr(one, each.name) for each in fields(Round)] for one in (self, other))
        return Round(*map(operator.add, mine, theirs))

    @property
    def calls_per_event(self) -> float:
        return sum(self.calls.values()) / max(1, self.events)

    @property
    def cpu_micros_per_event(self) -> float:
        return self.cpu_seconds * 1e6 / max(1, self.events)

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_of_a_core(self) -> float:
        return self.cpu_seconds / self.seconds

    def latency(self, part: float) -> float:
        """The time from arrival to write within which this part of the events was written (seconds)."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True, slots=True)
class Measured:
    """What one consumer took for all rounds. CPU and rate are those of the median round."""

    rounds: Sequence[Round]
    resident_mib: Sequence[float]  # after each round
    peak_mib: float
    dead_lettered: int
    exit_status: int

    @property
    def total(self) -> Round:
        return reduce(operator.add, self.rounds)

    @property
    def calls_per_event(self) -> float:
        return self.total.calls_per_event

    @property
    def cpu_micros_per_event(self) -> float:
        return median(one.cpu_micros_per_event for one in self.rounds)

    @property
    def events_per_second(self) -> float:
        return median(one.events_per_second for one in self.rounds)

    @property
    def growth_mib(self) -> float:
        return self.resident_mib[-1] - self.resident_mib[0]


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


def verdict(targets: Sequence[Target]) -> int:
    """Prints whether each target is met; the exit status."""
    print()
    for target in targets:
        bound = "at least" if target.at_least else "at most"
        mark = "ok  " if target.met else "MISS"
        print(f"{mark} {target.name}: {target.value:.3g} ({bound} {target.limit:g})")
    return 0 if all(target.met for target in targets) else 1


class StandIn:
    """The stand-in's control endpoint."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self.close = self._connection.close

    def release(self, events: int) -> None:
        """Puts more events into the queue."""
        self._request({"events": events})

    def begin_day(self, plan: DayPlan) -> None:
        """Lets events arrive by the clock."""
        self._request({"day": asdict(plan)})

    def state(self) -> State:
        """The counts so far."""
        return self._request({})

    def _request(self, members: Mapping[str, Any]) -> State:
        self._connection.request("POST", "/control", json.dumps(members))
        answer: State = json.loads(self._connection.getresponse().read())
        return answer


@contextmanager
def stand_in(latency_ms: float = 0.0) -> Iterator[StandIn]:
    """A stand-in in its own process."""
    command = [sys.executable, "-m", "tests.benchmarks.standin", str(latency_ms / 1_000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with closing(StandIn(int(process.stdout.readline()))) as control:
                yield control
        finally:
            process.kill()


def environment(endpoint: str, health_file: Path) -> dict[str, str]:
    """The settings of every consumer: AWS is the stand-in, everything else as it comes."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "DYNAMODB_EXPORT_STATUS_TABLE": TABLE,
        "SQS_EXPORT_EVENTS_QUEUE_URL": f"{endpoint}/{ACCOUNT}/{QUEUE}",
        "SQS_EXPORT_EVENTS_DLQ_URL": f"{endpoint}/{ACCOUNT}/{DLQ}",
        "EXPORT_HEALTH_FILE": str(health_file),
        "EXPORT_FAST_CALLS": "on",  # without the calls of a proof
        "EXPORT_DRAIN_SECONDS": "10",  # polls of 5 s, so that it ends soon; nothing else depends on it
    }


class Meter:
    """Begins a round; what is taken from then on is in it.

    Args:
        service: the stand-in.
        cpu: the CPU time so far of the process that is measured (seconds).
    """

    def __init__(self, service: StandIn, cpu: Callable[[], float]) -> None:
        self._service = service
        self._cpu = cpu
        self._before = service.state()
        self._cpu_before, self._begun = cpu(), time.perf_counter()

    def round(self, events: int | None = None) -> Round:
        """Ends the round. Its events are those deleted, if they are left out."""
        seconds, cpu = time.perf_counter() - self._begun, self._cpu() - self._cpu_before
        before, after = self._before, self._service.state()
        calls, counts = (Counter[str](after[each]) - Counter(before[each]) for each in ("calls", "counts"))
        events = counts["deleted"] if events is None else events
        return Round(events, calls, counts, seconds, cpu, after["latencies"])


class Consumer:
    """One consumer as a child process, with its own stand-in; leaving the context ends it by SIGTERM.

    Each method that waits raises RuntimeError if the consumer ends by itself, or deletes nothing for two
    minutes.

    Args:
        module: what `python -m` runs.
        latency_ms: how long every answer takes.
        scratch: a folder for its output.
        settings: environment variables next to `environment`.
    """

    def __init__(self, module: Sequence[str], latency_ms: float, scratch: Path, **settings: str) -> None:
        self._module = module
        self._latency_ms = latency_ms
        name = "-".join([*module, *settings.values()])
        self._output = scratch / f"output-{name}"
        self._health_file = scratch / f"health-{name}"
        self._settings = settings
        self._stack = ExitStack()
        self._rounds: list[Round] = []
        self._resident_mib: list[float] = []
        self._peak_mib = 0.0
        self._exit_status: int | None = None

    def __enter__(self) -> Self:
        self._service = self._stack.enter_context(stand_in(self._latency_ms))
        settings = environment(self._service.endpoint, self._health_file) | self._settings
        self._child = self._stack.enter_context(child_process(self._module, settings, self._output))
        return self

    def __exit__(self, *_: object) -> None:
        self._dead_lettered: int = self._service.state()["counts"]["dead_lettered"]
        self._stack.close()
        self._exit_status = self._child.returncode

    def warm_up(self, events: int) -> None:
        """Lets it consume events that are in no figure."""
        self._service.release(events)
        self.until(_is_done)

    def consume(self, events: int) -> None:
        """One round: releases events and measures until the last of them is deleted."""
        self._rounds.append(self._measured(lambda: self._service.release(events), _is_done))
        self._resident_mib.append(resident_mib(self._child.pid))
        self._peak_mib = resident_mib(self._child.pid, "VmHWM")

    def begin_day(self, plan: DayPlan) -> None:
        """Begins a day without waiting for its end."""
        self._service.begin_day(plan)

    def day(self, plan: DayPlan) -> Round:
        """Measures a day, from its first arrival to its last delete."""
        return self._measured(lambda: self._service.begin_day(plan), _is_done)

    def idle(self, seconds: float) -> Round:
        """Measures a time without events."""
        end = time.perf_counter() + seconds
        return self._measured(lambda: None, lambda _state: time.perf_counter() >= end)

    def until(self, condition: Callable[[State], bool]) -> State:
        """Waits until a condition on the counts holds; returns the counts."""
        pause = threading.Event()
        deleted, progress_at = -1, time.monotonic()
        while not condition(state := self._service.state()):
            if state["counts"]["deleted"] > deleted:
                deleted, progress_at = state["counts"]["deleted"], time.monotonic()
            if self._child.poll() is not None or time.monotonic() - progress_at > PATIENCE_SECONDS:
                stuck = RuntimeError(f"the consumer has stopped after {deleted} events")
                stuck.add_note(self.output()[-OUTPUT_SHOWN_CHARS:])
                raise stuck
            pause.wait(0.02)
        return state

    def measured(self) -> Measured:
        """The figures of all rounds, once it has ended."""
        assert self._exit_status is not None, "leave the context first"
        return Measured(
            self._rounds, self._resident_mib, self._peak_mib, self._dead_lettered, self._exit_status
        )

    def output(self) -> str:
        """What it has written to standard output and standard error."""
        return self._output.read_text()

    def _measured(self, begin: Callable[[], None], is_over: Callable[[State], bool]) -> Round:
        meter = Meter(self._service, lambda: cpu_seconds(self._child.pid))
        begin()
        self.until(is_over)
        return meter.round()


def _is_done(state: State) -> bool:
    return not state["arriving"] and not state["waiting"]


@contextmanager
def child_process(
    module: Sequence[str], settings: Mapping[str, str], output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended by SIGTERM, and by force if that takes too long.

    Args:
        module: what `python -m` runs.
        settings: its whole environment.
        output: the file that holds its standard output and standard error.
    """
    command = [sys.executable, "-m", *module]
    with (
        output.open("w") as file,
        subprocess.Popen(command, env=settings, stdout=file, stderr=subprocess.STDOUT) as child,
    ):
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and all its threads so far (proc(5), /proc/pid/stat)."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of the process (proc(5), /proc/pid/status): now, or with VmHWM at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / KIB
