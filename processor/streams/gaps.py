"""Reports records of the stream that were lost before they were read (`audit_gap`)."""

from dataclasses import dataclass
from enum import Enum

from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.streams.leases.lease import Lease, Position


class GapReason(Enum):
    """How records came to be missing."""

    TRIMMED = "trimmed"  # the position is older than the oldest record that is left
    SHARD_GONE = "shard_gone"  # the shard is in no listing any more, and its end was not seen
    STREAM_GONE = "stream_gone"  # the whole stream is gone, with unread shards
    UNREAD = "unread_past_retention"  # first read so late that its first records may have been trimmed


@dataclass(frozen=True, slots=True)
class Gap:
    """What was lost of one shard: everything after `last` and before `first`, if there is such a record."""

    reason: GapReason
    lease: Lease
    last: Position
    first: Position | None = None


def report_gap(gap: Gap, metrics: Metrics, now: float) -> None:
    """Writes the `audit_gap` line and counts it; `now` in Unix seconds ends a gap with no later record."""
    began = gap.last.written_at
    ended = now if gap.first is None else gap.first.written_at
    hours = None if began is None or ended is None else round(max(0.0, ended - began) / 3_600, 2)
    metrics.count(Metric.GAPS)
    get_logger().error(
        "audit_gap",
        reason=gap.reason.value,
        stream_arn=gap.lease.stream_arn,
        shard_id=gap.lease.shard_id,
        last_sequence_number=gap.last.sequence_number,
        first_sequence_number=gap.first.sequence_number if gap.first else None,
        hours=hours,
    )
