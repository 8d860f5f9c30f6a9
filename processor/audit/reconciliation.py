"""Compares the audit entries of a day with the number of items that DynamoDB says it deleted by TTL.

The comparison is a signal and no proof. Repeats may hide a loss, because CloudWatch counts entries and not
different ids; metrics lines that got lost may look like one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from processor.aws.calls import call
from processor.observability.metrics import NAMESPACE, SERVICE, Metric

DAY = timedelta(days=1)
PERIOD_SECONDS = 300
TOLERATED_ENTRIES = 20.0
TOLERATED_SHARE = 0.05


class CloudWatchClient(Protocol):
    """As much of the CloudWatch client as is called."""

    @property
    def get_metric_data(self) -> Callable[..., Any]:
        """GetMetricData."""


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


def last_day(client: CloudWatchClient, table: str, now: datetime) -> Reconciliation:
    """The counts of the 24 hours before now.

    Args:
        client: CloudWatch.
        table: the status table.
        now: aware.

    Raises:
        AwsError: if CloudWatch does not answer.
    """
    own = [{"Name": "Service", "Value": SERVICE}]
    sources = {
        "expired": (NAMESPACE, Metric.AUDIT_EXPIRED.value, own),
        "quarantined": (NAMESPACE, Metric.QUARANTINED.value, own),
        "deleted": ("AWS/DynamoDB", "TimeToLiveDeletedItemCount", [{"Name": "TableName", "Value": table}]),
    }
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions},
                "Period": PERIOD_SECONDS,
                "Stat": "Sum",
            },
        }
        for name, (namespace, metric, dimensions) in sources.items()
    ]
    sums = dict.fromkeys(sources, 0.0)
    page: dict[str, str] = {}
    while True:
        answer = call(
            client.get_metric_data, MetricDataQueries=queries, StartTime=now - DAY, EndTime=now, **page
        )
        for result in answer["MetricDataResults"]:
            sums[result["Id"]] += sum(result["Values"])
        if not answer.get("NextToken"):
            return Reconciliation(sums["expired"], sums["quarantined"], sums["deleted"])
        page = {"NextToken": answer["NextToken"]}
