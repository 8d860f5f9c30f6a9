"""Real service processes that audit a simulated stream, and what they print."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows

TABLE = "export-status"
FAILOVER_SECONDS = 3
DRAIN_SECONDS = 10


@dataclass(slots=True)
class SimulatedAccount:
    """The stream, the leases table and where both are served."""

    table: SimulatedTable
    streams: SimulatedStreamsClient
    rows: SimulatedRows
    endpoint_url: str

    def shares(self) -> list[int]:
        """How many unfinished leases each owner holds, in rising order; empty while one of them is free."""
        rows = [row for row in list(self.rows.rows.values()) if row["checkpoint"]["S"] != "SHARD_END"]
        if not all("leaseOwner" in row for row in rows):
            return []
        return sorted(Counter(row["leaseOwner"]["S"] for row in rows).values())

    def finished(self) -> int:
        """How many shards are read to their end."""
        return sum(row["checkpoint"]["S"] == "SHARD_END" for row in list(self.rows.rows.values()))

    def environment(self) -> dict[str, str]:
        """The settings that lead a task here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "DYNAMODB_EXPORT_STATUS_TABLE": TABLE,
            "SQS_EXPORT_EVENTS_DLQ_URL": f"{self.endpoint_url}/123456789012/dlq",
        }

    def removed(self) -> set[str]:
        """The ids of all REMOVE records."""
        return {record["eventID"] for _, record in self.table.removals()}


@dataclass(slots=True)
class Task:
    """One process of the service; a context manager that leaves nothing behind."""

    environment: dict[str, str]
    folder: Path
    is_read: bool = True
    """Whether anybody reads the task's standard output; else it takes nothing once the pipe is full."""
    lines: list[dict[str, Any]] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None
    _reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "processor", "run", "--only", "audit"],
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            | {
                "AWS_EC2_METADATA_DISABLED": "true",
                "EXPORT_LEASE_FAILOVER_SECONDS": str(FAILOVER_SECONDS),
                "EXPORT_METRICS_SECONDS": "0",
                "EXPORT_DRAIN_SECONDS": str(DRAIN_SECONDS),
                "EXPORT_HEALTH_FILE": str(self.folder / f"health-{id(self)}"),
            }
            | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if self.is_read:
            self._reader = threading.Thread(target=self._read, name="task-output")
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        process, reader = self.process, self._reader
        if process.poll() is None:
            process.kill()
        process.wait()
        if reader is not None:
            reader.join()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The running process."""
        if self._process is None:
            raise RuntimeError("the task was not started")
        return self._process

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The audit lines so far."""
        return [line for line in list(self.lines) if line.get("event") == "audit"]

    def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        if self._reader is not None:
            self._reader.join()
        return status

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        for line in self.process.stdout:
            if line.endswith("\n"):  # a killed process leaves half a line at most
                self.lines.append(
                    json.loads(line) if line.startswith("{") else {"event": "text", "text": line}
                )
