"""From `publish` to both audit sinks; DynamoDB's own engine expires the items."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.timestamps import format_timestamp
from processor.localaws.clients import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from processor.localaws.embedded_aws import EmbeddedAws, isolated_environment
from tests.cli.processes import run
from tests.faults.checker import Delivered, Observed, check
from tests.faults.expected import Sent
from tests.faults.fleet import logged_entries
from tests.resources import (
    ClientFactory,
    audit_stream,
    items_of,
    leases_table,
    messages_in,
    queue_pair,
    status_table,
)
from tests.support.service import ServiceProcess
from tests.waiting import eventually

TTL_SECONDS = 40
EXPORTS = 12
SINKS = ("kinesis", "log")
URL = "https://exports.example.com/a.csv?X-Amz-Signature=5e0f00c0ffee"

pytestmark = [pytest.mark.slow, pytest.mark.dynamodb_local]


@pytest.fixture
def settings(
    dynamodb_local: str, ministack: str, embedded_aws: EmbeddedAws, clients: Callable[[str], ClientFactory]
) -> dict[str, str]:
    """A service's whole environment: tables on DynamoDB Local, queues on ministack, Kinesis on moto."""
    queue_url, dlq_url = queue_pair(clients(ministack))
    return isolated_environment() | {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_ENDPOINT_URL_SQS": ministack,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local,
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": dynamodb_local,
        "AWS_ENDPOINT_URL_KINESIS": embedded_aws.endpoint_url,
        "DYNAMODB_EXPORT_STATUS_TABLE": status_table(clients(dynamodb_local), ttl=True),
        "DYNAMODB_EXPORT_LEASES_TABLE": leases_table(clients(dynamodb_local)),
        "SQS_EXPORT_EVENTS_QUEUE_URL": queue_url,
        "SQS_EXPORT_EVENTS_DLQ_URL": dlq_url,
        "KINESIS_EXPORT_AUDIT_STREAM": audit_stream(embedded_aws.client),
        "EXPORT_AUDIT_SINKS": "kinesis,log",
        "EXPORT_STATUS_TTL_SECONDS": str(TTL_SECONDS),
        "EXPORT_DRAIN_SECONDS": "10",
        "EXPORT_METRICS_SECONDS": "0",
        "LOG_FORMAT": "json",
    }


@pytest.fixture
def task(settings: dict[str, str], tmp_path: Path) -> Iterator[ServiceProcess]:
    """The running service."""
    with ServiceProcess(settings, tmp_path / "task") as service:
        yield service


def events(now: datetime) -> list[dict[str, Any]]:
    """Exports that complete, fail and never finish, reported in order."""
    ends: list[dict[str, str]] = [
        {"status": "completed", "signedUrl": URL},
        {"status": "failed", "error": f"GET {URL} answered 403"},
    ]
    reported = []
    for number in range(EXPORTS):
        changes: list[dict[str, str]] = [
            {"status": "pending", "fileName": f"{number}.csv"},
            {"status": "processing"},
            *ends[number % 3 : number % 3 + 1],
        ]
        export = {"requestId": f"export-{number}", "createdAt": format_timestamp(now)}
        reported += [
            export | change | {"occurredAt": format_timestamp(now + timedelta(seconds=second))}
            for second, change in enumerate(changes)
        ]
    return reported


def published(reported: list[dict[str, Any]], settings: dict[str, str], folder: Path) -> list[Sent]:
    """Sends the events as an operator does; what was sent, with the bodies in the ids' place."""
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in reported), encoding="utf-8")
    at = time.time()
    run("publish", str(file), environment=settings, cwd=folder).check_returncode()
    return [Sent(f"message-{number}", at, json.dumps(event), event) for number, event in enumerate(reported)]


def audit_of_kinesis(settings: dict[str, str], folder: Path) -> list[Delivered]:
    """What `audit tail` shows."""
    shown = run("audit", "tail", environment=settings, cwd=folder)
    return [
        Delivered("kinesis", number, json.loads(line))
        for number, line in enumerate(shown.stdout.splitlines())
    ]


def test_every_export_that_dynamodb_expires_is_audited_in_both_sinks(
    settings: dict[str, str], task: ServiceProcess, clients: Callable[[str], ClientFactory], tmp_path: Path
) -> None:
    task.wait_for("service_started")
    sent = published(events(datetime.now(UTC)), settings, tmp_path)
    sqs, queue_url = clients(settings["AWS_ENDPOINT_URL_SQS"]), settings["SQS_EXPORT_EVENTS_QUEUE_URL"]
    dynamodb, table = (
        clients(settings["AWS_ENDPOINT_URL_DYNAMODB"]),
        settings["DYNAMODB_EXPORT_STATUS_TABLE"],
    )

    eventually(lambda: messages_in(sqs, queue_url) == 0, TTL_SECONDS)
    before = {(request_id, 0): item for request_id, item in items_of(dynamodb, table).items()}
    assert len(before) == EXPORTS, "the machine was too slow for the time to live of this test"
    # Every ten seconds DynamoDB Local deletes some twenty of the items that have expired.
    eventually(lambda: not items_of(dynamodb, table), 180)
    eventually(lambda: len(task.lines("audit")) >= EXPORTS)
    assert task.stop()[0] == 0
    audit = logged_entries(task.lines()) + audit_of_kinesis(settings, tmp_path)
    report = check(sent, [], Observed(before, [], audit, SINKS), TTL_SECONDS)
    assert report.is_clean, report.details()
    assert len(audit) == 2 * EXPORTS, "each entry is there once in each sink"
