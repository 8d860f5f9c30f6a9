"""The tasks of a run: as many as wanted at any time, whatever happens to them."""

import random
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.checker import Delivered
from tests.faults.schedule import Move
from tests.support.service import ServiceProcess

START_SECONDS = 180.0
STOP_SECONDS = 60.0
"""Much longer than the drain budget, for busy machines."""

_LINE_FIELDS = frozenset({"timestamp", "level", "event"})


class Fleet:
    """Starts tasks, carries out a schedule's moves, replaces those that ended, and collects problems."""

    def __init__(
        self, *, size: int, command: Sequence[str], environment: Mapping[str, str], home: Path, seed: int
    ) -> None:
        """Takes how many tasks there are to be, what they run, and an empty directory for theirs."""
        self._size = size
        self._command = command
        self._environment = environment
        self._home = home
        self._dice = random.Random(seed)
        self._tasks: list[ServiceProcess] = []
        self._all: list[ServiceProcess] = []
        self._stopping: dict[ServiceProcess, float] = {}
        self._paused: dict[ServiceProcess, float] = {}
        self._acquired: set[tuple[int, str]] = set()
        self.problems: list[str] = []
        """Tasks that ended otherwise than they should have."""
        self.failed_starts: list[str] = []
        """Tasks that ended before they were at work, which outages excuse."""

    @property
    def tasks(self) -> tuple[ServiceProcess, ...]:
        """Those that run, in order of their start."""
        return tuple(self._tasks)

    @property
    def started(self) -> int:
        """How many tasks there have been."""
        return len(self._all)

    def start(self) -> None:
        """Starts all tasks; returns when they are at work."""
        self.tend()
        for task in self._tasks:
            task.wait_for("service_started", START_SECONDS)

    def do(self, move: Move, *, pause_seconds: float) -> None:
        """Does something to a task that is chosen by chance."""
        able = [task for task in self._tasks if task.is_running and task not in self._paused]
        if not able:
            return
        task = self._dice.choice(able)
        match move:
            case Move.KILL:
                task.kill()
                self._tasks.remove(task)
            case Move.PAUSE:
                task.signal(signal.SIGSTOP)
                self._paused[task] = time.monotonic() + pause_seconds
            case Move.TERMINATE:
                task.signal()
                self._stopping[task] = time.monotonic() + STOP_SECONDS
                self._tasks.remove(task)
            case _:
                raise ValueError(f"{move} is nothing that is done to a task")

    def tend(self) -> None:
        """Resumes tasks whose pause is over, notes how others ended, and fills up to the wanted number."""
        now = time.monotonic()
        for task in [task for task, until in self._paused.items() if until <= now]:
            self._resume(task)
        for task in [task for task in self._stopping if not task.is_running or self._stopping[task] <= now]:
            self._note_end(task)
        for task in [task for task in self._tasks if not task.is_running]:
            self._tasks.remove(task)
            # A task that cannot reach AWS when it starts ends, and is started again; later none may end.
            if not task.has_started():
                self.failed_starts.append(f"{task.name}: {task.last_words()[-300:]}")
            else:
                self.problems.append(f"{task.name} ended by itself: {task.last_words()[-600:]}")
        while len(self._tasks) < self._size:
            home = self._home / f"task-{len(self._all)}"
            task = ServiceProcess(self._environment, home, command=self._command).start()
            self._tasks.append(task)
            self._all.append(task)

    def stop(self) -> None:
        """SIGTERM for all; returns when they have ended."""
        for task in list(self._paused):
            self._resume(task)
        for task in self._tasks:
            task.signal()
            self._stopping[task] = time.monotonic() + STOP_SECONDS
        self._tasks.clear()
        for task in list(self._stopping):
            self._note_end(task)

    def kill(self) -> None:
        """Ends every process that is left, in whatever state."""
        for task in self._all:
            if task.is_running:
                task.kill()

    def should_have_released(self, lease: str, worker: str) -> bool:
        """Whether this worker (`<host>-<process id>-<hex>`) held the lease and has ended in order.

        A lease that was handed to a worker which was ending just then stays with it until it runs out.
        """
        process_id = int(worker.split("-")[-2])
        ended = any(task.process.pid == process_id and task.process.returncode == 0 for task in self._all)
        return ended and (process_id, lease) in self._acquired

    def new_lines(self) -> list[Mapping[str, Any]]:
        """What tasks have written since the last call, be it to this method or to `new_entries`."""
        found: list[Mapping[str, Any]] = []
        for task in self._all:
            lines = task.new_lines()
            found += lines
            self._acquired |= {
                (task.process.pid, line["lease_key"])
                for line in lines
                if line.get("event") == "lease_acquired"
            }
        return found

    def new_entries(self) -> list[Delivered]:
        """The audit lines that tasks have written since the last call."""
        return logged_entries(self.new_lines())

    def _resume(self, task: ServiceProcess) -> None:
        del self._paused[task]
        if task.is_running:
            task.signal(signal.SIGCONT)

    def _note_end(self, task: ServiceProcess) -> None:
        try:
            status = task.process.wait(max(0.0, self._stopping.pop(task) - time.monotonic()))
        except subprocess.TimeoutExpired:
            task.kill()
            self.problems.append(f"{task.name} did not end after SIGTERM: {task.last_words()[-600:]}")
            return
        if status != 0 and task.has_started():
            self.problems.append(f"{task.name} ended with {status} after SIGTERM: {task.last_words()[-600:]}")


def logged_entries(lines: Iterable[Mapping[str, Any]]) -> list[Delivered]:
    """The audit entries among lines of a log."""
    return [
        Delivered("log", line["timestamp"], {name: line[name] for name in line if name not in _LINE_FIELDS})
        for line in lines
        if line.get("event") == "audit"
    ]
