"""Reports records of the stream that were lost before they were read (`audit_gap`)."""

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


def report_gap(
    reason: GapReason, last: Position, lease: Lease, *, first: Position | None, metrics: Metrics, now: float
) -> None:
    """Writes the `audit_gap` line and counts it.

    Args:
        reason: how the records came to be missing.
        last: everything after this record is lost.
        lease: of their shard.
        first: the first record that is not lost; None: there is no later record.
        metrics: counts the gap.
        now: Unix seconds; the end of a gap with no later record.
    """
    began, ended = last.written_at, first.written_at if first else now
    hours = None if began is None or ended is None else round(max(0.0, ended - began) / 3_600, 2)
    metrics.count(Metric.GAPS)
    get_logger().error(
        "audit_gap",
        reason=reason.value,
        stream_arn=lease.stream_arn,
        shard_id=lease.shard_id,
        last_sequence_number=last.sequence_number,
        first_sequence_number=first.sequence_number if first else None,
        hours=hours,
    )
