"""A day's entries are compared with DynamoDB's own count; small differences are no sign of a loss."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processor.audit.reconciliation import Reconciliation, last_day
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.metrics import NAMESPACE, SERVICE


@pytest.mark.parametrize(
    ("entries", "quarantined", "deleted", "missing", "suspicious"),
    [
        (100, 0, 100, 0, False),
        (120, 0, 100, 0, False),
        (80, 0, 100, 20, False),
        (79, 0, 100, 21, True),
        (79, 1, 100, 20, False),
        (9_500, 0, 10_000, 500, False),
        (9_499, 0, 10_000, 501, True),
        (0, 0, 0, 0, False),
    ],
)
def test_more_than_twenty_and_five_percent_are_suspicious(
    entries: int, quarantined: int, deleted: int, missing: int, suspicious: bool
) -> None:
    day = Reconciliation(entries, quarantined, deleted)
    assert (day.missing, day.is_suspicious) == (missing, suspicious)


def test_the_sums_of_the_last_24_hours_are_read_from_cloudwatch(embedded_aws: EmbeddedAws) -> None:
    client: Any = embedded_aws.client("cloudwatch")
    now = datetime.now(UTC)
    own = [{"Name": "Service", "Value": SERVICE}]
    table = [{"Name": "TableName", "Value": "export-status-of-this-test"}]

    def put(namespace: str, name: str, dimensions: Any, value: float, hours_ago: float) -> None:
        data = {"MetricName": name, "Dimensions": dimensions, "Value": value}
        at = {"Timestamp": now - timedelta(hours=hours_ago)}
        client.put_metric_data(Namespace=namespace, MetricData=[data | at])

    before = last_day(client, "export-status-of-this-test", now)
    put(NAMESPACE, "AuditExpired", own, 5, 1)
    put(NAMESPACE, "AuditExpired", own, 6, 20)
    put(NAMESPACE, "AuditExpired", own, 1_000, 30)
    put(NAMESPACE, "Quarantined", own, 2, 3)
    put("AWS/DynamoDB", "TimeToLiveDeletedItemCount", table, 14, 2)
    day = last_day(client, "export-status-of-this-test", now)
    assert day.expired_entries - before.expired_entries == 11
    assert day.quarantined - before.quarantined == 2
    assert day.deleted_by_ttl == 14
