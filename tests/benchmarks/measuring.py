"""Runs one consumer as a child process against the stand-in, and measures it from the outside.

CPU is read from the kernel's account of the child (all threads, user and system) before a round's events
are released and again when the last of them is deleted, so that start-up and imports are in no figure.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from tests.benchmarks.standin_table import ACCOUNT, REGION, TABLE
from tests.benchmarks.standin_world import DLQ, QUEUE

PATIENCE_SECONDS = 60.0
STOP_SECONDS = 40.0
OUTPUT_SHOWN_CHARS = 4_000
KIB = 1_024


@dataclass(frozen=True, slots=True)
class Round:
    """What one consumer took for the events of one round."""

    events: int
    calls: Mapping[str, int]
    seconds: float
    cpu_seconds: float
    applied: int
    refused: int

    @property
    def cpu_micros_per_event(self) -> float:
        return self.cpu_seconds * 1e6 / self.events

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """What one consumer took for all rounds. CPU and rate are those of the median round."""

    rounds: Sequence[Round]
    early_mib: float  # resident after the first round
    late_mib: float  # resident after the last one
    peak_mib: float
    dead_lettered: int
    exit_status: int

    @property
    def events(self) -> int:
        return sum(one.events for one in self.rounds)

    @property
    def calls(self) -> Mapping[str, int]:
        return sum((Counter(one.calls) for one in self.rounds), Counter())

    @property
    def applied(self) -> int:
        return sum(one.applied for one in self.rounds)

    @property
    def refused(self) -> int:
        return sum(one.refused for one in self.rounds)

    @property
    def calls_per_event(self) -> float:
        return sum(self.calls.values()) / self.events

    @property
    def cpu_micros_per_event(self) -> float:
        return median(one.cpu_micros_per_event for one in self.rounds)

    @property
    def events_per_second(self) -> float:
        return median(one.events_per_second for one in self.rounds)

    @property
    def growth_mib(self) -> float:
        return self.late_mib - self.early_mib


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

    def release(self, events: int) -> None:
        """Puts more events into the queue."""
        self._request({"events": events})

    def begin_day(self, plan: Mapping[str, Any]) -> None:
        """Lets events arrive by the clock (see `standin_day.DayPlan`)."""
        self._request({"day": plan})

    def state(self) -> dict[str, Any]:
        """The counts so far."""
        return self._request({})

    def close(self) -> None:
        """Closes the connection to it."""
        self._connection.close()

    def _request(self, members: Mapping[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", "/control", json.dumps(members))
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer


@contextmanager
def stand_in(latency_ms: float, *options: str) -> Iterator[StandIn]:
    """A stand-in in its own process."""
    command = [sys.executable, "-m", "tests.benchmarks.standin", "--latency-ms", str(latency_ms), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            control = StandIn(int(process.stdout.readline()))
            with closing(control):
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


class Consumer:
    """One consumer as a child process, with its own stand-in; leaving the context ends it by SIGTERM."""

    def __init__(self, module: Sequence[str], latency_ms: float, scratch: Path, **settings: str) -> None:
        """Takes what `python -m` runs, how long every answer takes, where its output may go, and settings."""
        self._module = module
        self._latency_ms = latency_ms
        name = "-".join([module[0], *settings.values()])
        self._output = scratch / f"output-{name}"
        self._health_file = scratch / f"health-{name}"
        self._settings = settings
        self._stack = ExitStack()
        self._wanted = 0
        self._rounds: list[Round] = []
        self._resident_mib: list[float] = []
        self._peak_mib = 0.0
        self._exit_status: int | None = None

    def __enter__(self) -> Self:
        self._service = self._stack.enter_context(stand_in(self._latency_ms))
        output = self._stack.enter_context(self._output.open("w"))
        self._child = subprocess.Popen(
            [sys.executable, "-m", *self._module],
            env=environment(self._service.endpoint, self._health_file) | self._settings,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_status = end(self._child)
        self._stack.close()

    def warm_up(self, events: int) -> None:
        """Lets it consume events that are in no figure.

        Raises:
            RuntimeError: as `consume`.
        """
        self._release_and_wait(events)

    def consume(self, events: int) -> None:
        """One round: lets it consume events, and measures.

        Raises:
            RuntimeError: if it ends by itself, or makes no progress for a minute.
        """
        before = self._service.state()
        cpu_before, begun = cpu_seconds(self._child.pid), time.perf_counter()
        after = self._release_and_wait(events)
        ended, cpu_after = time.perf_counter(), cpu_seconds(self._child.pid)
        calls = Counter(after["calls"])
        calls.subtract(before["calls"])
        self._rounds.append(
            Round(
                events=events,
                calls=+calls,
                seconds=ended - begun,
                cpu_seconds=cpu_after - cpu_before,
                applied=after["applied"] - before["applied"],
                refused=after["refused"] - before["refused"],
            )
        )
        self._dead_lettered: int = after["dead_lettered"]
        self._resident_mib.append(resident_mib(self._child.pid))
        self._peak_mib = resident_mib(self._child.pid, "VmHWM")

    def measured(self) -> Measured:
        """The figures, once it has ended."""
        assert self._exit_status is not None, "leave the context first"
        return Measured(
            rounds=tuple(self._rounds),
            early_mib=self._resident_mib[0],
            late_mib=self._resident_mib[-1],
            peak_mib=self._peak_mib,
            dead_lettered=self._dead_lettered,
            exit_status=self._exit_status,
        )

    def output(self) -> str:
        """What it has written to standard output and standard error."""
        return self._output.read_text()

    def _release_and_wait(self, events: int) -> dict[str, Any]:
        self._wanted += events
        self._service.release(events)
        pause = threading.Event()
        deleted, progress_at = -1, time.monotonic()
        while True:
            state = self._service.state()
            if state["deleted"] >= self._wanted:
                return state
            if state["deleted"] > deleted:
                deleted, progress_at = state["deleted"], time.monotonic()
            if self._child.poll() is not None or time.monotonic() - progress_at > PATIENCE_SECONDS:
                stuck = RuntimeError(f"the consumer has stopped after {deleted} of {self._wanted} events")
                stuck.add_note(self.output()[-OUTPUT_SHOWN_CHARS:])
                raise stuck
            pause.wait(0.01)


def end(child: subprocess.Popen[bytes]) -> int:
    """Ends the child by SIGTERM, and by force if that takes too long; its exit status."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        return child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and all its threads so far (proc(5), /proc/pid/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory of the process (proc(5), /proc/pid/status): now, or with VmHWM at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / KIB
