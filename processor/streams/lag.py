"""How late the shards of the table are, read or not, and how long until unread records are trimmed."""

from collections.abc import Iterable
from dataclasses import dataclass

from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.streams.leases.lease import Lease
from processor.streams.lineage import read_until
from processor.streams.shards import RETENTION_HOURS

ALARM_HOURS = 4.0
"""Time left before trimming below which it is reported: enough for an operator to act."""
REPEAT_ALARM_SECONDS = 3_600.0
_COMPONENT = "stream lag"


@dataclass(frozen=True, slots=True)
class Lag:
    """How late one shard is."""

    shard_id: str
    behind_since: float | None
    """Since when records may be unread (Unix seconds); None where it is caught up."""

    def seconds(self, now: float) -> float:
        """How late; 0 where it is caught up."""
        return 0.0 if self.behind_since is None else max(0.0, now - self.behind_since)


def lag_of(lease: Lease, now: float, fresh_seconds: float) -> Lag:
    """How late a shard is by its row alone (docs/invariants.md, law 14).

    A row that was never read counts from its shard's start. A shard that was caught up a short time ago is
    not late: its reader writes that with each renewal only.

    Args:
        lease: the row of an unfinished shard.
        now: Unix seconds.
        fresh_seconds: how old the row's news may be, for example the failover time.
    """
    caught_up_at = lease.read_until
    if caught_up_at is not None and now - caught_up_at <= fresh_seconds:
        return Lag(lease.shard_id, None)
    return Lag(lease.shard_id, read_until(lease))


class LagReport:
    """Puts the worst shard into the metrics, and warns when time runs out."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._alarmed_at: float | None = None

    def update(self, lags: Iterable[Lag], now: float) -> None:
        """Takes how late each shard is now (Unix seconds); without shards nothing is reported."""
        worst = max(lags, key=lambda lag: lag.seconds(now), default=None)
        if worst is None:
            self._health.report(_COMPONENT, None)
            return
        seconds = worst.seconds(now)
        hours_left = max(0.0, RETENTION_HOURS - seconds / 3_600)
        self._metrics.gauge(Metric.STREAM_LAG, seconds)
        self._metrics.gauge(Metric.HOURS_TO_TRIM, hours_left)
        if hours_left >= ALARM_HOURS:
            self._alarmed_at = None
            self._health.report(_COMPONENT, None)
            return
        self._health.report(_COMPONENT, f"{hours_left:.1f} hours until unread records are trimmed")
        if self._alarmed_at is None or now - self._alarmed_at >= REPEAT_ALARM_SECONDS:
            self._alarmed_at = now
            get_logger().error(
                "audit_trim_near",
                shard_id=worst.shard_id,
                lag_seconds=int(seconds),
                hours_left=round(hours_left, 2),
            )
