"""The real service as a child process, `python -m processor run`, and its output."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

START_LIMIT_SECONDS = 180.0
DRAIN_SECONDS = 10
DRAIN_GRACE_SECONDS = 5.0
LAST_LINES = 5


class ServiceProcessError(Exception):
    """The service did not start or ended by itself; the message holds its last lines."""


class ServiceProcess:
    """Runs the service from now on until `stop` or `kill`.

    Args:
        environment: the whole environment.
        directory: an empty directory to run in.
        on_line: called by a thread with each line.

    Attributes:
        pid: the process id.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str], None],
    ) -> None:
        settings = {
            "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "EXPORT_HEALTH_FILE": str(directory / "health"),
            "EXPORT_RECEIVERS": "4",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",  # the outcomes of events
        }
        self._on_line = on_line
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._started = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "processor", "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environment, **settings},
            cwd=directory,  # with no .env in it
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the service
            encoding="utf-8",
            errors="replace",
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="service output", daemon=True)
        self._reader.start()

    def wait_until_started(self) -> None:
        """Waits until the service has started.

        Raises:
            ServiceProcessError: if it does not start.
        """
        if not self._started.wait(START_LIMIT_SECONDS) or self._process.poll() is not None:
            raise ServiceProcessError(self._last_words("the service did not start"))

    def check(self) -> None:
        """Raises ServiceProcessError if the service has ended by itself."""
        if self._process.poll() is not None:
            raise ServiceProcessError(self._last_words("the service ended by itself"))

    def stop(self) -> int | None:
        """Sends SIGTERM, and waits for the end and for the last line.

        Returns:
            The exit status, None if it had to be killed.
        """
        self._process.terminate()
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(DRAIN_SECONDS + DRAIN_GRACE_SECONDS)
        self.kill()
        return status

    def kill(self) -> None:
        """Kills the service if it still runs, and waits for its last line."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as lines:
            for line in lines:
                text = line.rstrip("\n")
                self._last.append(text)
                self._on_line(text)
                if '"service_started"' in text:
                    self._started.set()
        self._started.set()  # an end without a start ends the wait too

    def _last_words(self, what: str) -> str:
        return os.linesep.join([f"{what}; its last lines:", *self._last])
