"""How a stream describes its shards, and what is known about the table's streams."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

RETENTION_HOURS = 24.0
"""DynamoDB Developer Guide, "Change data capture for DynamoDB Streams": records are kept for 24 hours."""

# shardId-<20 digits: milliseconds since 1970>-<hex>; emulators use other forms.
_SHARD_ID = re.compile(r"shardId-0*(\d{13})-[0-9a-fA-F]+")


class StreamStatus(Enum):
    """As DescribeStream has it; anything unknown counts as ENABLED, from which nothing is concluded."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    GONE = "GONE"  # our own: it does not exist, while the table has a newer one. Nothing of it can be read


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard. `ending_sequence_number` may be missing for a while after it was closed."""

    shard_id: str
    parent_id: str | None = None
    starting_sequence_number: str | None = None
    ending_sequence_number: str | None = None

    @property
    def parents(self) -> frozenset[str]:
        """The parent as the leases table holds it."""
        return frozenset() if self.parent_id is None else frozenset({self.parent_id})


@dataclass(frozen=True, slots=True)
class Listing:
    """The shards of a stream: all pages of DescribeStream together."""

    stream_arn: str
    shards: Mapping[str, Shard] = field(default_factory=dict)
    started_at: float = float("-inf")
    """When the first page was asked for (monotonic seconds)."""
    status: StreamStatus = StreamStatus.ENABLED
    view_type: str | None = None
    complete: bool = True
    """False where paging ended early: nothing may be concluded from a shard's absence."""

    @property
    def gone(self) -> bool:
        """Whether the stream does not exist any more."""
        return self.status is StreamStatus.GONE

    def children_of(self, shard_id: str) -> tuple[Shard, ...]:
        """The shards that name this one as their parent, as far as they are listed."""
        return tuple(shard for shard in self.shards.values() if shard.parent_id == shard_id)


Streams = Mapping[str, Listing]
"""The newest listing of each stream, by ARN; without shards and not complete where there was none yet."""


@dataclass(frozen=True, slots=True)
class ShardName:
    """What names one shard: shard ids are unique within their stream only."""

    stream_arn: str
    shard_id: str


@dataclass(frozen=True, slots=True)
class StreamName:
    """The parts of a stream's ARN: `arn:aws:dynamodb:<region>:<account>:table/<table>/stream/<label>`."""

    region: str
    table: str
    label: str
    """The instant of the stream's creation in ISO 8601, so labels of one table sort by age."""

    @classmethod
    def of(cls, stream_arn: str) -> "StreamName":
        """Takes an ARN apart.

        Raises:
            ValueError: if it is no stream's ARN.
        """
        match = re.fullmatch(r"arn:[^:]*:dynamodb:([^:]*):[^:]*:table/([^/]+)/stream/(.+)", stream_arn)
        if match is None:
            raise ValueError("must be the ARN of a DynamoDB stream")
        return cls(*match.groups())


def by_age(stream_arns: frozenset[str]) -> list[str]:
    """The streams of one table, oldest first."""
    return sorted(stream_arns, key=lambda arn: (StreamName.of(arn).label, arn))


def began_at(shard_id: str) -> float | None:
    """When a shard began (Unix seconds), as its id shows; None for an id of another form."""
    match = _SHARD_ID.fullmatch(shard_id)
    return int(match[1]) / 1_000 if match else None
