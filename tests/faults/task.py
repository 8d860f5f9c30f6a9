"""One task of the service: a real process that can be killed, paused and told to stop."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Task:
    """A service process whose output goes to a file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], home: Path) -> None:
        """Starts it at once.

        Args:
            name: for reports.
            command: the module to run and its arguments.
            environment: the whole of it, but for the paths that are this task's own.
            home: an empty directory, its working directory.
        """
        self.name = name
        self.is_paused = False
        self._output = home / "output"
        self._offset = 0
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, "EXPORT_HEALTH_FILE": str(home / "health"), "TMPDIR": str(home)},
                cwd=home,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def has_started(self) -> bool:
        """Whether the service has said that it started."""
        return b'"event": "service_started"' in self._output.read_bytes()

    def is_up(self) -> bool:
        """Whether it has started.

        Raises:
            RuntimeError: if it has ended instead.
        """
        if not self.is_running:
            raise RuntimeError(f"{self.name} did not start: {self.last_words()}")
        return self.has_started()

    def kill(self) -> None:
        """SIGKILL, at whatever point it is."""
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: nothing in it goes on, as on a machine that is frozen or migrated."""
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def exit_status(self, seconds: float) -> int | None:
        """Waits for the end; None if it does not come in time, and then the process is killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def new_lines(self) -> list[Mapping[str, Any]]:
        """The whole lines of JSON written since the last call; a line cut by SIGKILL never counts."""
        with self._output.open("rb") as output:
            output.seek(self._offset)
            whole, _, _ = output.read().rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        return [json.loads(line) for line in whole.split(b"\n") if line.startswith(b"{")]

    def last_words(self) -> str:
        """The end of its output, for a report."""
        return self._output.read_bytes()[-2_000:].decode(errors="replace")
