"""The service as a process of its own, as a container runs it."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handlers.timestamps import format_timestamp

DRAIN_SECONDS = 10


class RunningService:
    """Where its lines go, and how it is stopped."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self._process = process
        self._output = output

    def output(self) -> str:
        """Everything that it has written so far."""
        return self._output.read_text()

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def stop(self) -> int:
        """Sends SIGTERM to the process and waits for its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(DRAIN_SECONDS + 10)


@contextmanager
def running_service(
    environment: Mapping[str, str], arguments: tuple[str, ...] = ("-m", "processor", "run")
) -> Iterator[RunningService]:
    """Starts `run` in an empty working directory, with this environment and nothing of the caller's AWS."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "output")
        own = {"EXPORT_HEALTH_FILE": f"{folder}/health", "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS)}
        with output.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**own, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        try:
            service = RunningService(process, output)
            yield service
        finally:
            process.kill()
            process.wait()


def event(request_id: str, status: str, **fields: str) -> dict[str, Any]:
    """An event of now, as a producer writes it."""
    return {
        "requestId": request_id,
        "status": status,
        "occurredAt": format_timestamp(datetime.now(UTC)),
        **fields,
    }
