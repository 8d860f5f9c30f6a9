"""How late the shards of the table are, read or not, and how long until unread records are trimmed."""

from collections.abc import Iterable

from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.streams.leases.lease import Lease
from processor.streams.progress import read_until
from processor.streams.shards import RETENTION_HOURS

ALARM_HOURS = 4.0
"""Time left before trimming below which it is reported: enough for an operator to act."""
REPEAT_ALARM_SECONDS = 3_600.0
_COMPONENT = "stream lag"


def unread_since(lease: Lease, now: float, fresh_seconds: float) -> float:
    """Since when records of a shard may be unread, by its row alone (docs/invariants.md, law 14).

    A row that was never read counts from its shard's start. A shard that was caught up a short time ago is
    not late: its reader writes that with each renewal only.

    Args:
        lease: the row of an unfinished shard.
        now: Unix seconds.
        fresh_seconds: how old the row's news may be, for example the failover time.

    Returns:
        Unix seconds; `now` where the shard is caught up.
    """
    if lease.read_until is not None and now - lease.read_until <= fresh_seconds:
        return now
    return read_until(lease)


class LagReport:
    """Puts the worst shard into the metrics, and warns when time runs out."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._alarmed_at = float("-inf")

    def update(self, shards: Iterable[tuple[float, str]], now: float) -> None:
        """Takes the state of all shards; without shards nothing is reported.

        Args:
            shards: since when each may be unread, and its id.
            now: Unix seconds.
        """
        worst = min(shards, default=None)
        if worst is None:
            self._health.report(_COMPONENT, None)
            return
        seconds = max(0.0, now - worst[0])
        hours_left = max(0.0, RETENTION_HOURS - seconds / 3_600)
        self._metrics.gauge(Metric.STREAM_LAG, seconds)
        self._metrics.gauge(Metric.HOURS_TO_TRIM, hours_left)
        if hours_left >= ALARM_HOURS:
            self._alarmed_at = float("-inf")
            self._health.report(_COMPONENT, None)
            return
        self._health.report(_COMPONENT, f"{hours_left:.1f} hours until unread records are trimmed")
        if now - self._alarmed_at >= REPEAT_ALARM_SECONDS:
            self._alarmed_at = now
            get_logger().error(
                "audit_trim_near",
                shard_id=worst[1],
                lag_seconds=int(seconds),
                hours_left=round(hours_left, 2),
            )
