"""Rows of the leases table: one for each shard, in the layout of the Kinesis Client Library.

`leaseKey`, `leaseOwner`, `leaseCounter`, `checkpoint`, `ownerSwitchesSinceCheckpoint`, `parentShardId` (which
is a set) and `childShardIds` mean what they mean there; what we add begins with `x_`. No row holds a time
that a lease's end is judged by: clocks of two machines are never compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TRIM_HORIZON = "TRIM_HORIZON"
SHARD_END = "SHARD_END"

Attributes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a shard is read: after this record, or, with no sequence number, before its oldest one."""

    sequence_number: str | None = None
    written_at: float | None = None
    """When that record was written (Unix seconds), to say how much a gap spans."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One row as it was read. `owner` None: free. `requested_by`: the worker that asks for the shard."""

    key: str
    shard_id: str
    stream_arn: str
    counter: int = 0
    owner: str | None = None
    position: Position = Position()
    finished: bool = False
    parents: frozenset[str] = frozenset()
    children: frozenset[str] = frozenset()
    owner_switches: int = 0
    requested_by: str | None = None
    failover_seconds: float = 0.0
    """The failover time of the owner: other workers wait for the larger of this and their own."""
    stopping: bool = False
    """Whether the owner is stopping and will release the lease soon."""
    created_at: float = 0.0
    """When the row was made (Unix seconds), which is seconds after the shard itself appeared."""
    tracked_since: float = 0.0
    """Since when the table's streams are followed (Unix seconds); records from before are not missed."""
    ended_at: float | None = None
    """When the shard's end was written (Unix seconds)."""
    passed: bool = False
    """Whether the children may start although the shard has no end yet: it is listed and not found."""
    read_until: float | None = None
    """Start of the last read that found the shard caught up (Unix seconds), as the last renewal wrote it."""
    gap_reported: bool = False
    """Whether the loss of this shard with its whole stream has been reported."""


def lease_key(stream_arn: str, shard_id: str) -> str:
    """A key that tells shards of the table's earlier streams apart: `<table>/stream/<label>/<shard>`."""
    return f"{stream_arn.partition('table/')[2]}/{shard_id}"


def new_lease(
    stream_arn: str, shard_id: str, parents: frozenset[str], *, now: float, tracked_since: float
) -> Lease:
    """The row of a shard that has none yet: unowned, to be read from its oldest record."""
    return Lease(
        key=lease_key(stream_arn, shard_id),
        shard_id=shard_id,
        stream_arn=stream_arn,
        parents=parents,
        created_at=now,
        tracked_since=tracked_since,
    )


def to_attributes(lease: Lease) -> dict[str, dict[str, Any]]:
    """The row of a lease without an owner yet, in DynamoDB's own form."""
    row: dict[str, dict[str, Any]] = {
        "leaseKey": {"S": lease.key},
        "leaseCounter": number(lease.counter),
        **position_attributes(lease.position),
        "ownerSwitchesSinceCheckpoint": number(lease.owner_switches),
        "shardId": {"S": lease.shard_id},
        "x_streamArn": {"S": lease.stream_arn},
        "x_createdAt": number(lease.created_at),
        "x_trackedSince": number(lease.tracked_since),
    }
    if lease.parents:
        row["parentShardId"] = {"SS": sorted(lease.parents)}
    return row


def position_attributes(position: Position) -> dict[str, dict[str, Any]]:
    """A position as a row holds it."""
    row: dict[str, dict[str, Any]] = {
        "checkpoint": {"S": position.sequence_number or TRIM_HORIZON},
        "checkpointSubSequenceNumber": {"N": "0"},
    }
    if position.written_at is not None:
        row["x_lastRecordAt"] = number(position.written_at)
    return row


def from_attributes(row: Attributes) -> Lease | None:
    """Reads a row.

    Anything in `checkpoint` but digits and SHARD_END counts as TRIM_HORIZON: starting at LATEST, as other
    libraries do, would skip records.

    Returns:
        None for a row that is not ours: another library's names no stream ARN.

    Raises:
        ValueError: if the row names a stream but cannot be read.
    """
    stream_arn = _text(row, "x_streamArn")
    if stream_arn is None:
        return None
    key, shard_id, checkpoint = (_text(row, name) for name in ("leaseKey", "shardId", "checkpoint"))
    counter = _number(row, "leaseCounter")
    if key is None or shard_id is None or checkpoint is None or counter is None:
        raise ValueError("a lease row must have leaseKey, shardId, checkpoint and leaseCounter")
    sequence_number = checkpoint if checkpoint.isascii() and checkpoint.isdigit() else None
    return Lease(
        key=key,
        shard_id=shard_id,
        stream_arn=stream_arn,
        counter=int(counter),
        owner=_text(row, "leaseOwner"),
        position=Position(sequence_number, _number(row, "x_lastRecordAt") if sequence_number else None),
        finished=checkpoint == SHARD_END,
        parents=_texts(row, "parentShardId"),
        children=_texts(row, "childShardIds"),
        owner_switches=int(_number(row, "ownerSwitchesSinceCheckpoint") or 0),
        requested_by=_text(row, "x_requestedBy"),
        failover_seconds=_number(row, "x_failoverSeconds") or 0.0,
        stopping="x_stopping" in row,
        created_at=_number(row, "x_createdAt") or 0.0,
        tracked_since=_number(row, "x_trackedSince") or 0.0,
        ended_at=_number(row, "x_endedAt"),
        passed="x_passed" in row,
        read_until=_number(row, "x_readUntil"),
        gap_reported="x_gapReported" in row,
    )


def parsed(row: Attributes | None) -> Lease | None:
    """A row; None where there is none, or where it is not ours or cannot be parsed."""
    try:
        return from_attributes(row or {})
    except ValueError:
        return None


def shows(row: Attributes, sets: Attributes, removes: frozenset[str]) -> bool:
    """Whether a row looks as this write would have left it: each attribute it set, none that it removed."""
    return all(
        name in row and _comparable(row[name]) == _comparable(value) for name, value in sets.items()
    ) and removes.isdisjoint(row)


def number(value: float) -> dict[str, str]:
    """A number in DynamoDB's own form, whole where it is, so that it reads back the same."""
    return {"N": str(int(value)) if value == int(value) else repr(round(value, 3))}


def _comparable(value: Mapping[str, Any]) -> tuple[str, object]:
    ((kind, content),) = value.items()
    if kind == "N":
        return kind, float(content)
    return kind, frozenset(content) if isinstance(content, list) else content


def _text(row: Attributes, name: str) -> str | None:
    value = row.get(name, {}).get("S")
    return value if isinstance(value, str) else None


def _texts(row: Attributes, name: str) -> frozenset[str]:
    return frozenset(row.get(name, {}).get("SS", ()))


def _number(row: Attributes, name: str) -> float | None:
    value = row.get(name, {}).get("N")
    return None if value is None else float(value)
