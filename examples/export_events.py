"""The events of an export, as an upstream service makes them.

Three things keep them right, whatever a queue does to their order:

- Every event states when the export was requested (`createdAt`), so any of them may arrive first.
- `occurredAt` is when it happened, read once: a repeated event is the same text again.
- `requestId` is new for each export, and never used again.
"""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime


def timestamp() -> str:
    """Now, in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class ExportJob:
    """One export on its way; makes its events as JSON."""

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: str = field(default_factory=timestamp)

    def pending(self) -> str:
        """It was requested. This event occurred when the export was created."""
        return self._event("pending", self.created_at)

    def processing(self) -> str:
        """Somebody works on it."""
        return self._event("processing", timestamp())

    def completed(self, file_name: str, signed_url: str) -> str:
        """It is done. The URL alone gives access to the file: never log this text."""
        return self._event("completed", timestamp(), fileName=file_name, signedUrl=signed_url)

    def failed(self, error: str) -> str:
        """It cannot be done; the error is shown to people."""
        return self._event("failed", timestamp(), error=error)

    def _event(self, status: str, occurred_at: str, **more: str) -> str:
        return json.dumps(
            {
                "eventId": str(uuid.uuid4()),  # for tracing, from your logs to ours
                "requestId": self.request_id,
                "status": status,
                "occurredAt": occurred_at,
                "createdAt": self.created_at,
                **more,
            }
        )


def run(job: ExportJob) -> list[str]:
    """What a producer would do, in short: the events of an export that goes well."""
    url = "https://example-bucket.s3.amazonaws.com/report.csv?X-Amz-Signature=example"
    return [job.pending(), job.processing(), job.completed("report.csv", url)]
