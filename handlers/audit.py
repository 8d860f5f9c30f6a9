"""Audit entries: the contract with audit log consumers (docs/contract.md, section 4)."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

MAX_ENTRY_JSON_BYTES = 15 * 1_024
"""No entry's JSON is longer: its log line stays under 16 KiB (docs/contract.md, section 4)."""

Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        extra_json_schema={"format": "date-time"},
    ),
]


class Actor(Struct, frozen=True, rename="camel", gc=False):
    """Who deleted the item, as the stream record names it; time to live is a service of DynamoDB's own."""

    type: str | None
    principal_id: str | None


class AuditSource(Struct, frozen=True, rename="camel", gc=False):
    """Where the stream record was read: enough to find it again within its 24 hours."""

    table: str
    region: str
    stream_arn: str
    shard_id: str | None  # not every reader of a stream knows its shard
    sequence_number: str


class AuditEntry(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One item that left the table. Its `audit_id` is the same on every delivery: repeats can be dropped."""

    schema_version: Literal[1]
    audit_id: Annotated[str, Meta(min_length=1)]
    action: Literal["export.expired", "export.deleted"]
    request_id: Annotated[str, Meta(min_length=1, max_length=256)]
    last_status: Literal["pending", "processing", "completed", "failed"] | None
    finished: bool
    created_at: Timestamp | None
    updated_at: Timestamp | None
    expires_at: Timestamp | None
    deleted_at: Timestamp
    deletion_lag_seconds: Annotated[int, Meta(ge=0)] | None
    file_name: str | None
    error: str | None
    had_signed_url: bool
    actor: Actor | None
    source: AuditSource

    def to_json(self) -> str:
        """The entry as one line of JSON in the contract's order, without a line feed."""
        return msgspec.json.encode(self).decode()


def entry_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an entry."""
    _, parts = msgspec.json.schema_components([AuditEntry])
    return {**parts.pop("AuditEntry"), "$defs": parts}
