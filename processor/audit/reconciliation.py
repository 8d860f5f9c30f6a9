"""Compares the audit entries of a day with the number of items that DynamoDB says it deleted by TTL.

The comparison is a signal and no proof. Repeats may hide a loss, because CloudWatch counts entries and not
different ids; metrics lines that got lost may look like one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from processor.aws.calls import call
from processor.observability.metrics import NAMESPACE, SERVICE, Metric

DAY = timedelta(days=1)
PERIOD_SECONDS = 300
HOUR_SECONDS = 3_600
"""The period that CloudWatch keeps longest ("Metrics retention", Amazon CloudWatch User Guide)."""
TOLERATED_ENTRIES = 20.0
TOLERATED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The counts of one day, from CloudWatch."""

    expired_entries: float
    quarantined: float
    deleted_by_ttl: float

    @property
    def missing(self) -> float:
        """How many more items DynamoDB deleted than there are entries; 0 if there are enough."""
        return max(0.0, self.deleted_by_ttl - self.expired_entries - self.quarantined)

    @property
    def is_suspicious(self) -> bool:
        """Whether more are missing than late metrics explain: the larger of 20 and 5 %."""
        return self.missing > max(TOLERATED_ENTRIES, TOLERATED_SHARE * self.deleted_by_ttl)


def last_day(client: Any, table: str, now: datetime, service: str = SERVICE) -> Reconciliation:
    """The counts of the 24 hours before now.

    Args:
        client: CloudWatch.
        table: the status table.
        now: aware.
        service: EXPORT_SERVICE_NAME.

    Raises:
        AwsError: if CloudWatch does not answer.
    """
    own = [{"Name": "Service", "Value": service}]
    sources = {
        "expired": (NAMESPACE, Metric.AUDIT_EXPIRED.value, own),
        "quarantined": (NAMESPACE, Metric.QUARANTINED.value, own),
        "deleted": _deleted_items(table),
    }
    sums = dict.fromkeys(sources, 0.0)
    for name, _, value in _values(client, sources, PERIOD_SECONDS, now - DAY, now):
        sums[name] += value
    return Reconciliation(sums["expired"], sums["quarantined"], sums["deleted"])


def deleted_by_day(client: Any, table: str, first: date, end: datetime) -> Mapping[date, int]:
    """How many items DynamoDB says it deleted by TTL, by day in UTC. CloudWatch knows 455 days.

    Args:
        client: CloudWatch.
        table: the status table.
        first: the first day.
        end: aware; nothing after it is counted.

    Raises:
        AwsError: if CloudWatch does not answer.
    """
    days: Counter[date] = Counter()
    start = datetime.combine(first, time(), UTC)
    for _, at, value in _values(client, {"deleted": _deleted_items(table)}, HOUR_SECONDS, start, end):
        days[at.astimezone(UTC).date()] += round(value)
    return days


_Source = tuple[str, str, list[dict[str, str]]]


def _deleted_items(table: str) -> _Source:
    return "AWS/DynamoDB", "TimeToLiveDeletedItemCount", [{"Name": "TableName", "Value": table}]


def _values(
    client: Any, sources: Mapping[str, _Source], period: int, start: datetime, end: datetime
) -> Iterator[tuple[str, datetime, float]]:
    """The sums of each period, with the name of their source."""
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions},
                "Period": period,
                "Stat": "Sum",
            },
        }
        for name, (namespace, metric, dimensions) in sources.items()
    ]
    page: dict[str, str] = {}
    while True:
        answer = call(client.get_metric_data, MetricDataQueries=queries, StartTime=start, EndTime=end, **page)
        for result in answer["MetricDataResults"]:
            for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                yield result["Id"], at, value
        if not answer.get("NextToken"):
            return
        page = {"NextToken": answer["NextToken"]}
