"""Runs one consumer as a child process against the stand-in, and measures it from the outside.

CPU is read from the kernel's account of the child (all threads, user and system) when its warm-up is done
and again when the last event is deleted, so that start-up and imports are in no figure.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.standin_world import ACCOUNT, DLQ, QUEUE, REGION, TABLE

WARM_UP_EVENTS = 1_000
START_SECONDS = 60.0
STOP_SECONDS = 40.0
OUTPUT_SHOWN_CHARS = 4_000
KIB = 1_024


@dataclass(frozen=True, slots=True)
class Measured:
    """What one consumer took for its events."""

    events: int
    calls: Mapping[str, int]
    seconds: float
    cpu_seconds: float
    peak_mib: float
    early_mib: float  # resident after a tenth of the events
    late_mib: float  # resident at the end
    applied: int
    refused: int
    dead_lettered: int
    exit_status: int

    @property
    def growth_mib(self) -> float:
        return self.late_mib - self.early_mib

    @property
    def calls_per_event(self) -> float:
        return sum(self.calls.values()) / self.events

    @property
    def cpu_micros_per_event(self) -> float:
        return self.cpu_seconds * 1e6 / self.events

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds


class StandIn:
    """The stand-in's control endpoint."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)

    def release(self, events: int) -> None:
        """Puts so many more events into the queue."""
        self._request({"events": events})

    def state(self) -> dict[str, Any]:
        """The counts so far."""
        return self._request({})

    def close(self) -> None:
        """Closes the connection to it."""
        self._connection.close()

    def _request(self, members: Mapping[str, int]) -> dict[str, Any]:
        self._connection.request("POST", "/control", json.dumps(members))
        answer: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return answer


@contextmanager
def stand_in(latency_ms: float) -> Iterator[StandIn]:
    """A stand-in in its own process."""
    command = [sys.executable, "-m", "tests.benchmarks.standin", "--latency-ms", str(latency_ms)]
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
    }


def measure(
    module: Sequence[str], events: int, latency_ms: float, scratch: Path, *, warm_up: int = WARM_UP_EVENTS
) -> Measured:
    """Runs `python -m <module>` until it has consumed the warm-up and the events, then ends it by SIGTERM.

    Raises:
        RuntimeError: if it ends by itself, or makes no progress for a minute.
    """
    with stand_in(latency_ms) as service, (scratch / "output").open("w") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment(service.endpoint, scratch / "health"),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            service.release(warm_up)
            wait_for_deleted(service, child, warm_up)
            before = service.state()
            cpu_before, begun = cpu_seconds(child.pid), time.perf_counter()
            service.release(events)
            wait_for_deleted(service, child, warm_up + events // 10)
            early_mib = resident_mib(child.pid)
            after = wait_for_deleted(service, child, warm_up + events)
            ended, cpu_after = time.perf_counter(), cpu_seconds(child.pid)
            late_mib, peak_mib = resident_mib(child.pid), resident_mib(child.pid, "VmHWM")
        except RuntimeError as stuck:
            stuck.add_note((scratch / "output").read_text()[-OUTPUT_SHOWN_CHARS:])
            raise
        finally:
            exit_status = end(child)
    calls = {name: count - before["calls"].get(name, 0) for name, count in after["calls"].items()}
    return Measured(
        events=events,
        calls={name: count for name, count in calls.items() if count},
        seconds=ended - begun,
        cpu_seconds=cpu_after - cpu_before,
        peak_mib=peak_mib,
        early_mib=early_mib,
        late_mib=late_mib,
        applied=after["applied"] - before["applied"],
        refused=after["refused"] - before["refused"],
        dead_lettered=after["dead_lettered"],
        exit_status=exit_status,
    )


def wait_for_deleted(service: StandIn, child: subprocess.Popen[bytes], wanted: int) -> dict[str, Any]:
    """Waits until so many events are deleted; the state then.

    Raises:
        RuntimeError: if the child ended, or a minute passed without progress.
    """
    pause = threading.Event()
    deleted, progress_at = -1, time.monotonic()
    while True:
        state = service.state()
        if state["deleted"] >= wanted:
            return state
        if child.poll() is not None:
            raise RuntimeError(f"the consumer ended with status {child.returncode} after {deleted} events")
        if state["deleted"] > deleted:
            deleted, progress_at = state["deleted"], time.monotonic()
        elif time.monotonic() - progress_at > START_SECONDS:
            raise RuntimeError(f"no progress after {deleted} of {wanted} events: {state}")
        pause.wait(0.02)


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
