"""Events, bodies and items for tests, each with what a test does not care about filled in."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from handlers.events import ExportEvent, decode
from handlers.export import Export, Status, ttl_of

TTL_SECONDS = 900
CREATED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SIGNED_URL = (
    "https://bucket.s3.us-east-1.amazonaws.com/exports/report.csv"
    "?X-Amz-Credential=AKIDEXAMPLE&X-Amz-Signature=5e0f00c0ffee"
)
SECRET = "5e0f00c0ffee"


def at(seconds: float) -> datetime:
    """So many seconds after the export was requested."""
    return CREATED + timedelta(seconds=seconds)


def text_at(seconds: float) -> str:
    """The same as a producer writes it."""
    return at(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fields(status: str = "pending", /, **changes: Any) -> dict[str, Any]:
    """A valid event as JSON object; a change to None takes the field away."""
    whole = {"requestId": "req-1", "status": status, "occurredAt": text_at(1), **changes}
    return {name: value for name, value in whole.items() if value is not None}


def body(status: str = "pending", /, **changes: Any) -> str:
    """A valid event as message body."""
    return json.dumps(fields(status, **changes))


def event(status: str = "pending", /, *, now: datetime | None = None, **changes: Any) -> ExportEvent:
    """A valid event, decoded."""
    return decode(body(status, **changes), now=now or at(60))


def item(status: str = "pending", /, **changes: Any) -> dict[str, Any]:
    """A stored item; a change to None takes the attribute away, other changes are in DynamoDB's form."""
    whole = Export(
        request_id="req-1",
        status=Status(status),
        created_at=CREATED,
        updated_at=at(1),
        ttl=ttl_of(CREATED, TTL_SECONDS),
    ).to_item()
    return {name: value for name, value in (whole | changes).items() if value is not None}
