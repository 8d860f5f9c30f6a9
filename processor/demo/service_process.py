"""The real service as a child process, `python -m processor run`, and its output."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

START_LIMIT_SECONDS = 60.0
DRAIN_SECONDS = 10
DRAIN_GRACE_SECONDS = 5.0
LAST_LINES = 5


class ServiceProcessError(Exception):
    """The service did not start or ended by itself; the message holds its last lines."""


class ServiceProcess:
    """Runs the service until `stop`, and passes on each line of its output.

    Args:
        environment: the whole environment.
        directory: an empty directory to run in.
        on_line: called by a thread with the text of each line and its JSON; `{}` where it is not JSON.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self._environment = {
            **environment,
            "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "EXPORT_HEALTH_FILE": str(directory / "health"),
            "EXPORT_RECEIVERS": "4",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",  # the outcomes of events
        }
        self._directory = directory
        self._on_line = on_line
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._started = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._failure: Exception | None = None

    def start(self) -> int:
        """Starts the service, and waits until it has started.

        Returns:
            The process id.

        Raises:
            ServiceProcessError: if it does not start.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "processor", "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd=self._directory,  # with no .env in it
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the service
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name="service output", daemon=True)
        self._reader.start()
        if not self._started.wait(START_LIMIT_SECONDS) or self._process.poll() is not None:
            raise ServiceProcessError(self._last_words("the service did not start"))
        return self._process.pid

    def check(self) -> None:
        """Raises ServiceProcessError if the service has ended by itself, or its output could not be read."""
        if self._failure is not None:
            raise ServiceProcessError("the service's output could not be read") from self._failure
        if self._process is not None and self._process.poll() is not None:
            raise ServiceProcessError(self._last_words("the service ended by itself"))

    def kill(self) -> None:
        """Kills the service. May be called before `start`, and after `stop`."""
        if self._process is not None:
            self._process.kill()
            self.stop()

    def stop(self) -> int | None:
        """Sends SIGTERM, and waits for the end and for the last line.

        Returns:
            The exit status, None if it had to be killed or was never started. May be called twice.
        """
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return None
        in_time = True
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DRAIN_SECONDS + DRAIN_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                in_time = False
                process.kill()
                process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode if in_time else None

    def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        try:
            for line in process.stdout:
                text = line.rstrip("\n")
                self._last.append(text)
                fields = _fields(text)
                self._on_line(text, fields)
                if fields.get("event") == "service_started":
                    self._started.set()
        except Exception as failure:  # noqa: BLE001 - check() raises it in the calling thread
            self._failure = failure
        self._started.set()  # an end without a start ends the wait too

    def _last_words(self, what: str) -> str:
        return os.linesep.join([f"{what}; its last lines:", *self._last])


def _fields(line: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
