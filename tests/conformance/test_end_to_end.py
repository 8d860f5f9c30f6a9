"""From `publish` to both audit sinks; DynamoDB's own engine expires the items."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.clients import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from processor.localaws.embedded_aws import EmbeddedAws, isolated_environment
from tests.faults.checker import Delivered, Observed, check
from tests.faults.expected import Sent
from tests.resources import ClientFactory, audit_stream, leases_table, queue_pair, status_table
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
    reported = []
    for number in range(EXPORTS):
        export = {"requestId": f"export-{number}", "createdAt": written(now)}
        reported.append(
            {**export, "status": "pending", "occurredAt": written(now), "fileName": f"{number}.csv"}
        )
        reported.append({**export, "status": "processing", "occurredAt": written(now + timedelta(seconds=1))})
        match number % 3:
            case 0:
                last = {"status": "completed", "signedUrl": URL}
            case 1:
                last = {"status": "failed", "error": f"GET {URL} answered 403"}
            case _:
                continue
        reported.append({**export, **last, "occurredAt": written(now + timedelta(seconds=2))})
    return reported


def written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1_000:03d}Z"


def published(reported: list[dict[str, Any]], settings: dict[str, str], folder: Path) -> list[Sent]:
    """Sends the events as an operator does; what was sent, with the bodies in the ids' place."""
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in reported), encoding="utf-8")
    command = [sys.executable, "-m", "processor", "publish", str(file)]
    at = time.time()
    subprocess.run(command, env=settings, cwd=folder, check=True, capture_output=True)
    return [Sent(f"message-{number}", at, json.dumps(event), event) for number, event in enumerate(reported)]


def audit_of_kinesis(settings: dict[str, str], folder: Path) -> list[Delivered]:
    """What `audit tail` shows."""
    command = [sys.executable, "-m", "processor", "audit", "tail"]
    shown = subprocess.run(command, env=settings, cwd=folder, check=True, capture_output=True, text=True)
    return [
        Delivered("kinesis", number, json.loads(line))
        for number, line in enumerate(shown.stdout.splitlines())
    ]


def test_every_export_that_dynamodb_expires_is_audited_in_both_sinks(
    settings: dict[str, str], task: ServiceProcess, clients: Callable[[str], ClientFactory], tmp_path: Path
) -> None:
    task.wait_for("service_started")
    sent = published(events(datetime.now(UTC)), settings, tmp_path)
    dynamodb = clients(settings["AWS_ENDPOINT_URL_DYNAMODB"])("dynamodb")
    sqs = clients(settings["AWS_ENDPOINT_URL_SQS"])("sqs")
    table = settings["DYNAMODB_EXPORT_STATUS_TABLE"]

    def is_settled() -> bool:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        queue_url = settings["SQS_EXPORT_EVENTS_QUEUE_URL"]
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        return all(answer["Attributes"][name] == "0" for name in names)

    def items() -> dict[tuple[str, int], dict[str, str | int]]:
        found = dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
        return {
            (item["requestId"]["S"], 0): {
                name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()
            }
            for item in found
        }

    eventually(is_settled, TTL_SECONDS)
    before = items()
    assert len(before) == EXPORTS, "the machine was too slow for the time to live of this test"
    # Every ten seconds DynamoDB Local deletes some twenty of the items that have expired.
    eventually(lambda: not items(), 180)
    log: list[Delivered] = []

    def audited() -> bool:
        log.extend(
            Delivered(
                "log",
                line["timestamp"],
                {name: value for name, value in line.items() if name not in {"timestamp", "level", "event"}},
            )
            for line in task.new_lines()
            if line["event"] == "audit"
        )
        return len(log) >= EXPORTS

    eventually(audited)
    assert task.stop()[0] == 0
    audit = log + audit_of_kinesis(settings, tmp_path)
    report = check(sent, [], Observed(before, [], audit, SINKS), TTL_SECONDS)
    assert report.is_clean, report.details()
    assert len(audit) == 2 * EXPORTS, "each entry is there once in each sink"
