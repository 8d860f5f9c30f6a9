"""An emulator as a child process on a free port of 127.0.0.1, which ends with the process that started it."""

import os
import random
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import NoReturn, Self

import pytest

HOST = "127.0.0.1"
START_LIMIT_SECONDS = 180.0
ATTEMPTS = 3  # another process may bind the free port before the emulator does


class EngineError(Exception):
    """The emulator is missing or did not start; the message gives the reason."""


class Engine(ABC):
    """A context manager that runs one emulator. Subclasses say how to call it."""

    scheme = "http"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._port = 0

    @abstractmethod
    def command(self, port: int) -> Sequence[str]:
        """The command line; the process must end when its standard input does."""

    @abstractmethod
    def environment(self, port: int, directory: Path) -> Mapping[str, str]:
        """The whole environment of the process. What it writes belongs into the directory."""

    @abstractmethod
    def missing(self) -> str | None:
        """What is not installed, as one line with the command that installs it, or None."""

    @property
    def endpoint_url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return None if self._process is None else self._process.pid

    def require(self) -> Self:
        """Skips the test where the emulator is not installed."""
        if reason := self.missing():
            cannot(reason)
        return self

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the emulator takes connections.

        Raises:
            EngineError: if it is not installed, or ends or hangs before it is ready.
        """
        reason = self.missing()
        if reason is not None:
            raise EngineError(reason)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start_once()
            except EngineError:
                self.stop()
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def stop(self) -> None:
        """Ends the process and removes what it wrote. May be called twice, and before `start`."""
        process, self._process = self._process, None
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            process.kill()  # it has nothing to save, and would wait for its clients' connections
            process.wait()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.cleanup()

    def _start_once(self) -> None:
        self._port = _free_port()
        self._directory = tempfile.TemporaryDirectory(prefix="engine-")
        directory = Path(self._directory.name)
        log = directory / "output.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self.command(self._port),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environment(self._port, directory)),
                cwd=directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT_SECONDS
        pause = Event()
        while not _takes_connections(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                last = log.read_text(errors="replace")[-2_000:]
                raise EngineError(f"{type(self).__name__} did not start:\n{last}")
            pause.wait(0.05)


def cannot(reason: str) -> NoReturn:
    """Skips the test on a laptop, fails it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    """A port that nobody is given who leaves the choice to the system: those begin at 32768."""
    for port in random.SystemRandom().sample(range(10_000, 32_768), 100):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise EngineError("no free port among 100 from 10000 to 32767")


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
