"""The record of an export: what an item of the table holds (docs/contract.md, section 1)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from handlers.timestamps import format_timestamp, parse_timestamp

MAX_REQUEST_ID_CHARS = 256  # also the limit of a Kinesis partition key
MAX_FILE_NAME_CHARS = 1_024
MAX_SIGNED_URL_BYTES = 8 * 1_024
MAX_ERROR_BYTES = 4 * 1_024
DEFAULT_TTL_SECONDS = 900

Item = Mapping[str, Mapping[str, Any]]
"""An item or image in DynamoDB's own form, each attribute as `{"S": "..."}` or `{"N": "..."}`."""


class Status(Enum):
    """The four states of an export; `transitions.MOVES` has their order."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class MalformedItem(ValueError):
    """A stored item breaks section 1 of the contract; the message names attribute and rule, no value."""


def ttl_of(created_at: datetime, ttl_seconds: int) -> int:
    """The `ttl` of an export in Unix seconds: a function of `createdAt` alone, so it is never extended."""
    return math.floor(created_at.timestamp()) + ttl_seconds


def is_dead(ttl: int, now: datetime) -> bool:
    """Whether an item with this ttl counts as gone, even while DynamoDB has not deleted it yet."""
    return ttl <= now.timestamp()


def cut_utf8(text: str, max_bytes: int) -> str:
    """The longest beginning of the text that fits into `max_bytes` of UTF-8, no character halved."""
    if len(text) * 4 <= max_bytes:
        return text
    return text.encode()[:max_bytes].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Export:
    """One export as the table holds it. `signed_url` only with completed, `error` only with failed."""

    request_id: str
    status: Status
    created_at: datetime
    updated_at: datetime
    ttl: int
    signed_url: str | None = None
    file_name: str | None = None
    error: str | None = None

    @classmethod
    def from_item(cls, item: Item) -> "Export":
        """Reads a stored item.

        Raises:
            MalformedItem: if it breaks section 1 of the contract.
        """
        ttl = stored_ttl(item)
        if ttl is None:
            raise MalformedItem("ttl must be a whole number of Unix seconds")
        try:
            status = Status(_string(item, "status"))
        except ValueError:
            raise MalformedItem("status must be pending, processing, completed or failed") from None
        signed_url, error = _optional(item, "signedUrl"), _optional(item, "error")
        if signed_url is not None and status is not Status.COMPLETED:
            raise MalformedItem("signedUrl is allowed only with status completed")
        if error is not None and status is not Status.FAILED:
            raise MalformedItem("error is allowed only with status failed")
        return cls(
            request_id=_string(item, "requestId"),
            status=status,
            created_at=_timestamp(item, "createdAt"),
            updated_at=_timestamp(item, "updatedAt"),
            ttl=ttl,
            signed_url=signed_url,
            file_name=_optional(item, "fileName"),
            error=error,
        )

    def to_item(self) -> dict[str, dict[str, str]]:
        """The item in DynamoDB's own form; attributes without a value are left out."""
        item = {
            "requestId": {"S": self.request_id},
            "status": {"S": self.status.value},
            "createdAt": {"S": format_timestamp(self.created_at)},
            "updatedAt": {"S": format_timestamp(self.updated_at)},
            "ttl": {"N": str(self.ttl)},
        }
        optional = {"signedUrl": self.signed_url, "fileName": self.file_name, "error": self.error}
        return item | {name: {"S": value} for name, value in optional.items() if value is not None}


def stored_ttl(item: Item) -> int | None:
    """The item's `ttl` in Unix seconds, or None if it is not a whole number."""
    try:
        number = Decimal(str(item["ttl"]["N"]))
    except (KeyError, TypeError, InvalidOperation):
        return None
    return int(number) if number.is_finite() and number == number.to_integral_value() else None


def _optional(item: Item, name: str) -> str | None:
    return _string(item, name) if name in item else None


def _string(item: Item, name: str) -> str:
    value = item.get(name, {}).get("S")
    if not isinstance(value, str):
        raise MalformedItem(f"{name} must be a string")
    return value


def _timestamp(item: Item, name: str) -> datetime:
    text = _string(item, name)
    try:
        return parse_timestamp(text)
    except ValueError as broken:
        raise MalformedItem(f"{name} {broken}") from None
