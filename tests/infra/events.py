"""Events of this moment, as a producer writes them."""

from datetime import UTC, datetime
from typing import Any

from handlers.timestamps import format_timestamp


def event(request_id: str, status: str, **fields: str) -> dict[str, Any]:
    """An event of now, as a producer writes it."""
    return {
        "requestId": request_id,
        "status": status,
        "occurredAt": format_timestamp(datetime.now(UTC)),
        **fields,
    }
