"""From an item's time to live to its audit line and its quarantine, on the embedded AWS."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.resources import leases_table, queue_pair, status_table
from tests.streams.tasks import audit_task
from tests.support.service import ServiceProcess
from tests.waiting import eventually


@pytest.fixture
def environment(embedded_aws: EmbeddedAws) -> dict[str, str]:
    """Settings with a status table whose items expire, a leases table and queues of the test's own."""
    queue_url, dlq_url = queue_pair(embedded_aws.client)
    return embedded_aws.environment() | {
        "DYNAMODB_EXPORT_STATUS_TABLE": status_table(embedded_aws.client, ttl=True),
        "DYNAMODB_EXPORT_LEASES_TABLE": leases_table(embedded_aws.client),
        "SQS_EXPORT_EVENTS_QUEUE_URL": queue_url,
        "SQS_EXPORT_EVENTS_DLQ_URL": dlq_url,
        "EXPORT_AUDIT_SINKS": "log",
    }


def put(aws: EmbeddedAws, table: str, request_id: str, status: str, *, expires_in: int) -> None:
    """An export's item."""
    ttl = int(time.time()) + expires_in
    aws.client("dynamodb").put_item(
        TableName=table,
        Item={
            "requestId": {"S": request_id},
            "status": {"S": status},
            "createdAt": {"S": "2026-11-22T10:00:00.000Z"},
            "updatedAt": {"S": "2026-11-22T10:00:00.000Z"},
            "ttl": {"N": str(ttl)},
            "signedUrl": {"S": "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=5e0f00c0ffee"},
        },
    )


def by_export(task: ServiceProcess) -> dict[str, dict[str, Any]]:
    """The audit lines, by export."""
    return {line["requestId"]: line for line in task.lines("audit")}


def test_what_expires_and_what_is_deleted_is_audited_across_a_restart_once(
    embedded_aws: EmbeddedAws, environment: dict[str, str], tmp_path: Path
) -> None:
    table = environment["DYNAMODB_EXPORT_STATUS_TABLE"]
    put(embedded_aws, table, "before-the-start", "completed", expires_in=1)
    with audit_task(environment, tmp_path) as first:
        put(embedded_aws, table, "never-finished", "processing", expires_in=1)
        put(embedded_aws, table, "by-hand", "failed", expires_in=900)
        embedded_aws.client("dynamodb").delete_item(TableName=table, Key={"requestId": {"S": "by-hand"}})
        eventually(lambda: len(first.lines("audit")) == 3, 60)
        assert first.stop()[0] == 0
    put(embedded_aws, table, "while-nobody-ran", "pending", expires_in=0)
    with audit_task(environment, tmp_path) as second:
        eventually(lambda: second.lines("audit"), 60)
        assert second.stop()[0] == 0
    lines = by_export(first) | by_export(second)
    assert {name: (line["action"], line["finished"]) for name, line in lines.items()} == {
        "before-the-start": ("export.expired", True),
        "never-finished": ("export.expired", False),
        "by-hand": ("export.deleted", True),
        "while-nobody-ran": ("export.expired", False),
    }
    assert len(second.lines("audit")) == 1
    assert lines["never-finished"]["actor"] == {
        "type": "Service",
        "principalId": "dynamodb.amazonaws.com",
    }
    assert lines["by-hand"]["actor"] is None
    assert "5e0f00c0ffee" not in json.dumps(first.lines() + second.lines())
