"""Real service processes that audit a simulated stream."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.support.service import ServiceProcess

TABLE = "export-status"
FAILOVER_SECONDS = 3


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


def audit_task(environment: dict[str, str], folder: Path, *, is_read: bool = True) -> ServiceProcess:
    """A process of the service that runs the audit only.

    Args:
        environment: its settings.
        folder: where each task gets a folder.
        is_read: whether its standard output is read.
    """
    home = folder / f"task-{len(list(folder.iterdir()))}"
    home.mkdir()
    settings = {"EXPORT_LEASE_FAILOVER_SECONDS": str(FAILOVER_SECONDS)} | environment
    return ServiceProcess(settings, home, "--only", "audit", is_read=is_read)
