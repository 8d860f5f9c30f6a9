"""Audit entries: the contract with audit log consumers (docs/contract.md, section 4)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

MAX_ENTRY_JSON_BYTES = 15 * 1_024
"""No entry's JSON is longer: its log line stays under 16 KiB (docs/contract.md, section 4)."""

Timestamp = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", json_schema_extra={"format": "date-time"}
    ),
]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


class Actor(_Part):
    """Who deleted the item, as the stream record names it; time to live is a service of DynamoDB's own."""

    type: str | None
    principal_id: str | None


class AuditSource(_Part):
    """Where the stream record was read: enough to find it again within its 24 hours."""

    table: str
    region: str
    stream_arn: str
    shard_id: str | None  # not every reader of a stream knows its shard
    sequence_number: str


class AuditEntry(_Part):
    """One item that left the table. Its `audit_id` is the same on every delivery: repeats can be dropped."""

    schema_version: Literal[1] = 1
    audit_id: Annotated[str, Field(min_length=1)]
    action: Literal["export.expired", "export.deleted"]
    request_id: Annotated[str, Field(min_length=1, max_length=256)]
    last_status: Literal["pending", "processing", "completed", "failed"] | None
    finished: bool
    created_at: Timestamp | None
    updated_at: Timestamp | None
    expires_at: Timestamp | None
    deleted_at: Timestamp
    deletion_lag_seconds: Annotated[int, Field(ge=0)] | None
    file_name: str | None
    error: str | None
    had_signed_url: bool
    actor: Actor | None
    source: AuditSource

    def to_json(self) -> str:
        """The entry as one line of JSON in the contract's order, without a line feed."""
        return self.model_dump_json(by_alias=True)
