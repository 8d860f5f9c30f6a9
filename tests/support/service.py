"""`export-status run` as a process: its lines, its signals and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.waiting import eventually

DRAIN_SECONDS = 10
START_LIMIT_SECONDS = 180.0
RUN = ("processor", "run")


class ServiceProcess:
    """One process of the service; as a context manager it kills what still runs in the end.

    Args:
        environment: the settings. Nothing of the caller's is added but PATH, and nothing of AWS's.
        home: a folder that becomes its working directory. It is made, and holds its output.
        arguments: of `run`.
        command: the module to run with its first arguments, in place of `processor run`.
        is_read: whether its standard output is read; else it is a pipe that fills up.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        home: Path,
        *arguments: str,
        command: Sequence[str] = RUN,
        is_read: bool = True,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.name = home.name
        self.health_file = home / "health"
        self.output = home / "stdout"
        """What it wrote to standard output."""
        self.errors = home / "stderr"
        """What it wrote to standard error."""
        self._environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(home),
            "AWS_EC2_METADATA_DISABLED": "true",
            "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "EXPORT_HEALTH_FILE": str(self.health_file),
            "EXPORT_METRICS_SECONDS": "0",
            **environment,
        }
        self._command = [sys.executable, "-m", *command, *arguments]
        self._is_read = is_read
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[dict[str, Any]] = []
        self._offset = 0
        self._shown = 0

    def start(self) -> Self:
        """Starts the process."""
        with self.output.open("wb") as stdout, self.errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout if self._is_read else subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for the tests, which end the process
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process, once it was started."""
        assert self._process is not None
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Its whole lines of JSON so far, those of one event or all. A line that a kill cut never counts."""
        with self.output.open("rb") as output:
            output.seek(self._offset)
            whole, end, _ = output.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        self._lines += [json.loads(line) for line in whole.split(b"\n") if line.startswith(b"{")]
        return [line for line in self._lines if event in {"", line["event"]}]

    def new_lines(self) -> list[dict[str, Any]]:
        """The lines since the last call."""
        found = self.lines()[self._shown :]
        self._shown += len(found)
        return found

    def has_started(self) -> bool:
        """Whether the service wrote that it started."""
        return bool(self.lines("service_started"))

    def wait_for(self, event: str, seconds: float = START_LIMIT_SECONDS) -> dict[str, Any]:
        """Waits for a line of this event.

        Returns:
            The first one.

        Raises:
            AssertionError: if the line does not come, or the process ends before.
        """

        def found() -> list[dict[str, Any]]:
            has_ended = not self.is_running
            lines = self.lines(event)
            assert lines or not has_ended, self.last_words()
            return lines

        return eventually(found, seconds)[0]

    def last_words(self, length: int = 2_000) -> str:
        """The ends of both outputs, for a report."""
        return "".join(
            each.read_bytes()[-length:].decode(errors="replace") for each in (self.output, self.errors)
        )

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def stop(self, seconds: float = DRAIN_SECONDS + 60) -> tuple[int, float]:
        """Sends SIGTERM and waits for the end.

        Returns:
            The exit status, and how many seconds it took to end.
        """
        began = time.monotonic()
        self.signal()
        return self.process.wait(seconds), time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, at whatever point it is."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
