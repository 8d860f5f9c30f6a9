"""`export-status run` as a process of its own: its lines, its signals and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.waiting import eventually

DRAIN_SECONDS = 10
START_LIMIT_SECONDS = 60.0


class ServiceRun:
    """A context manager; what still runs in the end is killed."""

    def __init__(self, environment: Mapping[str, str], directory: Path, *arguments: str) -> None:
        """Takes settings, a folder that becomes its working directory, and arguments of `run`."""
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self.health_file = directory / "health"
        self._environment = {
            "PATH": os.environ["PATH"],
            "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "EXPORT_HEALTH_FILE": str(self.health_file),
            "EXPORT_METRICS_SECONDS": "0",
            **environment,
        }
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.output.open("wb") as stdout, self.errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "processor", "run", *self._arguments],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process, once it was started."""
        assert self._process is not None
        return self._process

    @property
    def output(self) -> Path:
        """What it wrote to standard output."""
        return self._directory / "stdout"

    @property
    def errors(self) -> Path:
        """What it wrote to standard error."""
        return self._directory / "stderr"

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Its whole lines so far, those of one event or all."""
        whole = self.output.read_text().rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in whole]
        return [line for line in found if event in {"", line["event"]}]

    def wait_for(self, event: str, seconds: float = START_LIMIT_SECONDS) -> dict[str, Any]:
        """Waits for a line of this event; the first one."""

        def shown() -> list[dict[str, Any]]:
            assert self.process.poll() is None or self.lines(event), self.errors.read_text()
            return self.lines(event)

        return eventually(shown, seconds)[0]

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def stop(self, seconds: float = DRAIN_SECONDS + 2) -> tuple[int, float]:
        """Sends SIGTERM; its exit status, and how many seconds it took to end."""
        began = time.monotonic()
        self.signal()
        return self.process.wait(seconds), time.monotonic() - began

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.wait()
