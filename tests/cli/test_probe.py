"""`probe` sends one export through all its steps, and ends it whatever happens."""

import json
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.export import Export, Status
from processor.aws.clients import Aws
from processor.cli.errors import CommandFailed
from processor.cli.probe import Probe
from processor.localaws.embedded_aws import EmbeddedAws
from processor.settings import load_aws_settings, load_settings
from tests.cli.conftest import Command
from tests.cli.processes import start
from tests.resources import drained_messages, item_of
from tests.support.service import ServiceProcess
from tests.waiting import eventually


def sent(aws: EmbeddedAws, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    messages = drained_messages(aws.client, environment["SQS_EXPORT_EVENTS_QUEUE_URL"])
    return [json.loads(message["Body"]) for message in messages]


def test_a_running_service_passes_and_each_step_is_timed(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    with ServiceProcess(environment, tmp_path / "service"):
        ran = command("probe", "--within", "5m", environment=environment)
    assert (ran.status, ran.err) == (0, "")
    *steps, last = ran.lines
    assert [step.split()[0] for step in steps] == ["pending", "processing", "completed"]
    line = json.loads(last)
    assert line["requestId"].startswith("probe-")
    assert line["ProbeFailed"] == 0
    assert line["ProbeSeconds"] > 0
    assert all(seconds > 0 for seconds in line["steps"].values())
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in directive["Metrics"]} == {"ProbeFailed", "ProbeSeconds"}
    item = item_of(embedded_aws.client, environment["DYNAMODB_EXPORT_STATUS_TABLE"], line["requestId"])
    assert item is not None
    assert item["status"] == {"S": "completed"}


def test_without_a_service_it_fails_and_its_export_is_ended(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command
) -> None:
    ran = command("probe", "--within", "300ms", "--json", environment=environment)
    assert ran.status == 1
    line = json.loads(ran.out)
    assert line["ProbeFailed"] == 1
    assert "ProbeSeconds" not in line
    assert line["steps"] == {"pending": None, "processing": None, "completed": None}
    assert ran.err == f"export-status: {line['requestId']} is not pending after 0.3 s\n"
    assert [event["status"] for event in sent(embedded_aws, environment)] == ["pending", "failed"]


def test_completed_is_sent_again_rather_than_contradicted(
    embedded_aws: EmbeddedAws, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    table = environment["DYNAMODB_EXPORT_STATUS_TABLE"]
    applied, seconds = [Status.PENDING, Status.PROCESSING], iter(range(1_000))

    def wait(_seconds: float) -> None:
        if applied:
            now = datetime.now(UTC)
            ttl = int((now + timedelta(hours=1)).timestamp())
            item = Export(run.request_id, applied.pop(0), now, now, ttl).to_item()
            embedded_aws.client("dynamodb").put_item(TableName=table, Item=item)

    run = Probe(settings, Aws(load_aws_settings(settings)), 50, lambda: next(seconds), wait)
    with pytest.raises(CommandFailed, match="is not completed after 50 s"):
        list(run.steps())
    run.end()
    *_, first, again = sent(embedded_aws, environment)
    assert first == again
    assert first["status"] == "completed"


def test_interrupted_it_ends_its_export(
    embedded_aws: EmbeddedAws, environment: dict[str, str], tmp_path: Path
) -> None:
    sqs, url = embedded_aws.client("sqs"), environment["SQS_EXPORT_EVENTS_QUEUE_URL"]

    def waiting() -> int:
        names = ["ApproximateNumberOfMessages"]
        return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])

    with start("probe", "--within", "10m", environment=environment, cwd=tmp_path) as process:
        eventually(waiting)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert [event["status"] for event in sent(embedded_aws, environment)] == ["pending", "failed"]


@pytest.mark.parametrize(
    ("within", "rule"),
    [
        ("5", "must be a duration such as 5s (see export-status probe --help)"),
        ("-1s", "must be a duration such as 5s (see export-status probe --help)"),
        ("0s", "must be above 0 and shorter than the TTL of 900 s"),
        ("15m", "must be above 0 and shorter than the TTL of 900 s"),
    ],
)
def test_a_limit_that_makes_no_sense_is_exit_2(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command, within: str, rule: str
) -> None:
    ran = command("probe", f"--within={within}", environment=environment)
    assert (ran.status, ran.out, ran.err) == (2, "", f"export-status: --within {rule}\n")
    assert sent(embedded_aws, environment) == []


@pytest.mark.slow
def test_a_queue_that_is_deleted_under_the_service_is_seen_within_a_minute_and_fails_the_probe(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    with ServiceProcess(environment | {"EXPORT_METRICS_SECONDS": "1"}, tmp_path / "service") as service:
        service.wait_for("service_started")
        embedded_aws.client("sqs").delete_queue(QueueUrl=environment["SQS_EXPORT_EVENTS_QUEUE_URL"])

        def seen() -> bool:
            failures = [line["level"] for line in service.lines("receive_failed")]
            counted = [line["ReceiveErrors"] for line in service.lines("metrics") if "ReceiveErrors" in line]
            return "error" in failures and any(counted) and "event queue" in service.health_file.read_text()

        eventually(seen, 60)
        ran = command("probe", environment=environment)
        assert ran.status == 1
        assert "the event queue" in ran.err
        assert service.is_running
    items = embedded_aws.client("dynamodb").scan(TableName=environment["DYNAMODB_EXPORT_STATUS_TABLE"])
    assert items["Items"] == [], "the probe left no export"
