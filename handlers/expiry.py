"""Turns a record of the table's stream into an audit entry, or into nothing if no item was removed.

Anyone who can write to the table can put anything into an image. A field that cannot be read becomes null, a
long text is cut, and no image makes this fail.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

from handlers.audit import Actor, AuditEntry, AuditSource
from handlers.export import (
    MAX_ERROR_BYTES,
    MAX_FILE_NAME_CHARS,
    MAX_REQUEST_ID_CHARS,
    Status,
    cut_utf8,
    stored_ttl,
)
from handlers.masking import mask_urls
from handlers.timestamps import format_timestamp, from_epoch_seconds, normalize_timestamp
from handlers.transitions import is_terminal

TTL_ACTOR = Actor(type="Service", principal_id="dynamodb.amazonaws.com")
"""`userIdentity` of a deletion by TTL (DynamoDB Developer Guide, "DynamoDB Streams and Time to Live")."""

StreamRecord = Mapping[str, Any]
"""One record as GetRecords gives it in JSON: `eventID`, `eventName`, `userIdentity`, `dynamodb`."""

# What a string may take up in the entry's JSON, where one control character needs six bytes. With the
# other fields' natural limits these keep an entry within `audit.MAX_ENTRY_JSON_BYTES`.
_FILE_NAME_JSON_BYTES = 4 * 1_024
_ERROR_JSON_BYTES = 6 * 1_024
_ACTOR_JSON_BYTES = 512
_AUDIT_ID_JSON_BYTES = 512
_WORST_JSON_BYTES_PER_CHAR = 6

_STATUSES: Mapping[str | None, Literal["pending", "processing", "completed", "failed"]] = {
    status.value: status.value for status in Status
}


@dataclass(frozen=True, slots=True)
class ShardSource:
    """The shard that a record was read from, and whose stream it is."""

    table: str
    region: str
    stream_arn: str
    shard_id: str | None


def audit_entry(record: StreamRecord, *, source: ShardSource, read_at: datetime) -> AuditEntry | None:
    """Makes the audit entry of one stream record (docs/contract.md, section 4).

    Args:
        record: with `dynamodb.SequenceNumber`; everything else in it may be missing or foreign.
        source: the shard that it came from.
        read_at: when it was read; stands in for the deletion's time in a record that has none.

    Returns:
        The entry of a REMOVE; None for an INSERT or a MODIFY.

    Raises:
        KeyError: if the record has no sequence number, which is how DynamoDB names it.
    """
    if record.get("eventName") != "REMOVE":
        return None
    change: Mapping[str, Any] = record["dynamodb"]
    sequence_number = str(change["SequenceNumber"])
    image = _mapping(change.get("OldImage"))
    keys = _mapping(change.get("Keys")) or {name: image[name] for name in image.keys() & {"requestId"}}
    actor = _actor(record.get("userIdentity"))
    by_ttl = actor is TTL_ACTOR
    status = _STATUSES.get(_string(image, "status"))
    deleted_at = _seconds(change.get("ApproximateCreationDateTime"))
    if deleted_at is None:
        deleted_at = read_at.timestamp()
    ttl = stored_ttl(image)
    expires_at = None if ttl is None else _instant(ttl)
    return AuditEntry(
        schema_version=1,
        audit_id=_plain(record.get("eventID"), _AUDIT_ID_JSON_BYTES)
        or f"{source.shard_id or source.stream_arn}:{sequence_number}",
        action="export.expired" if by_ttl else "export.deleted",
        request_id=_request_id(keys),
        last_status=status,
        finished=status is not None and is_terminal(Status(status)),
        created_at=_timestamp(image, "createdAt"),
        updated_at=_timestamp(image, "updatedAt"),
        expires_at=expires_at,
        deleted_at=_instant(deleted_at) or format_timestamp(read_at),
        deletion_lag_seconds=max(0, math.floor(deleted_at) - ttl)
        if by_ttl and ttl is not None and expires_at
        else None,
        file_name=_plain(_string(image, "fileName"), _FILE_NAME_JSON_BYTES, max_chars=MAX_FILE_NAME_CHARS),
        error=_plain(_string(image, "error"), _ERROR_JSON_BYTES, max_bytes=MAX_ERROR_BYTES),
        had_signed_url="signedUrl" in image,
        actor=actor,
        source=AuditSource(source.table, source.region, source.stream_arn, source.shard_id, sequence_number),
    )


def _request_id(keys: Mapping[str, Any]) -> str:
    """The item's key as a text of 1 to 256 characters, distinct for distinct keys, whatever the key's form.

    A key that is not ours (another name, a number, a sort key) is named by its JSON. A text that is too long,
    or that was a credential and is masked to nothing, is identified by its hash.
    """
    own = _string(keys, "requestId") if len(keys) == 1 else None
    text = own or json.dumps(keys, sort_keys=True, separators=(",", ":"), default=str)
    plain = _clean(text)
    if 0 < len(plain) <= MAX_REQUEST_ID_CHARS:
        return plain
    digest = "sha256:" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return plain[: MAX_REQUEST_ID_CHARS - len(digest)] + digest


def _plain(
    value: object, json_bytes: int, *, max_chars: int | None = None, max_bytes: int | None = None
) -> str | None:
    """A foreign string made fit for output: URLs masked, cut to its limits; None for what is no string."""
    if not isinstance(value, str):
        return None
    text = _clean(value)
    if max_chars is not None:
        text = text[:max_chars]
    if max_bytes is not None:
        text = cut_utf8(text, max_bytes)
    return _cut_json(text, json_bytes)


def _clean(text: str) -> str:
    """The text without credentials and without lone surrogates, which no UTF-8 output can hold."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return mask_urls(text)


def _cut_json(text: str, max_bytes: int) -> str:
    """The longest beginning of the text that takes at most `max_bytes` inside a JSON string."""
    if len(text) * _WORST_JSON_BYTES_PER_CHAR <= max_bytes:
        return text
    taken = 0
    for index, char in enumerate(text):
        taken += len(json.dumps(char, ensure_ascii=False).encode()) - 2
        if taken > max_bytes:
            return text[:index]
    return text


def _actor(identity: object) -> Actor | None:
    """Who deleted, under the spelling of Lambda's events or of the API's; None without a name."""
    if not isinstance(identity, dict) or not identity:
        return None
    kind = identity.get("type", identity.get("Type"))
    principal = identity.get("principalId", identity.get("PrincipalId"))
    if (kind, principal) == (TTL_ACTOR.type, TTL_ACTOR.principal_id):
        return TTL_ACTOR
    return Actor(type=_plain(kind, _ACTOR_JSON_BYTES), principal_id=_plain(principal, _ACTOR_JSON_BYTES))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(image: Mapping[str, Any], name: str) -> str | None:
    attribute = image.get(name)
    value = attribute.get("S") if isinstance(attribute, dict) else None
    return value if isinstance(value, str) else None


def _timestamp(image: Mapping[str, Any], name: str) -> str | None:
    text = _string(image, name)
    if text is None:
        return None
    try:
        return normalize_timestamp(text)
    except ValueError:
        return None


def _seconds(value: object) -> float | None:
    """Unix seconds from a number or from an aware datetime; None for anything that is no instant."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or _instant(value) is None:
        return None
    return value


@lru_cache(maxsize=4_096)  # records of one page share their seconds
def _instant(seconds: float) -> str | None:
    """Unix seconds as the contract writes them; None outside the years 1 to 9999."""
    try:
        return format_timestamp(from_epoch_seconds(seconds))
    except ValueError:
        return None
