"""`probe` sends one export through all its steps, and ends it whatever happens."""

import json
import signal
from pathlib import Path

import pytest

from handlers.export import Status
from processor.aws.clients import Aws
from processor.cli.errors import CommandFailed
from processor.cli.probe import Probe
from processor.settings import load_aws_settings, load_settings
from tests.cli.commands import Ran
from tests.cli.conftest import Table
from tests.cli.processes import start
from tests.resources import item_of
from tests.support.service import ServiceProcess
from tests.waiting import eventually


def test_a_running_service_passes_and_each_step_is_timed(table: Table, tmp_path: Path) -> None:
    with ServiceProcess(table.environment, tmp_path / "service"):
        ran = table.run("probe", "--within", "5m")
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
    item = item_of(table.clients, table.name, line["requestId"])
    assert item is not None
    assert item["status"] == {"S": "completed"}


def test_without_a_service_it_fails_and_its_export_is_ended(table: Table) -> None:
    ran = table.run("probe", "--within", "300ms", "--json")
    assert ran.status == 1
    (line,) = ran.records
    assert line["ProbeFailed"] == 1
    assert "ProbeSeconds" not in line
    assert line["steps"] == {"pending": None, "processing": None, "completed": None}
    assert ran.err == f"export-status: {line['requestId']} is not pending after 0.3 s\n"
    assert [event["status"] for event in table.events()] == ["pending", "failed"]


def test_completed_is_sent_again_rather_than_contradicted(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in table.environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    applied, seconds = [Status.PENDING, Status.PROCESSING], iter(range(1_000))

    def wait(_seconds: float) -> None:
        if applied:
            table.put(run.request_id, applied.pop(0))

    run = Probe(settings, Aws(load_aws_settings(settings)), 50, lambda: next(seconds), wait)
    with pytest.raises(CommandFailed, match="is not completed after 50 s"):
        list(run.steps())
    run.end()
    *_, first, again = table.events()
    assert first == again
    assert first["status"] == "completed"


def test_interrupted_it_ends_its_export(table: Table, tmp_path: Path) -> None:
    sqs, url = table.clients("sqs"), table.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]
    peek = {"QueueUrl": url, "VisibilityTimeout": 0}
    with start("probe", "--within", "10m", environment=table.environment, cwd=tmp_path) as process:
        eventually(lambda: sqs.receive_message(**peek).get("Messages"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=300)
    assert process.returncode == 130
    assert [event["status"] for event in table.events()] == ["pending", "failed"]


@pytest.mark.parametrize(
    ("within", "rule"),
    [
        ("5", "must be a duration such as 5s (see export-status probe --help)"),
        ("-1s", "must be a duration such as 5s (see export-status probe --help)"),
        ("0s", "must be above 0 and shorter than the TTL of 900 s"),
        ("15m", "must be above 0 and shorter than the TTL of 900 s"),
    ],
)
def test_a_limit_that_makes_no_sense_is_exit_2(table: Table, within: str, rule: str) -> None:
    assert table.run("probe", f"--within={within}") == Ran(2, "", f"export-status: --within {rule}\n")
    assert table.events() == []


@pytest.mark.slow
def test_a_queue_that_is_deleted_under_the_service_is_seen_within_a_minute_and_fails_the_probe(
    table: Table, tmp_path: Path
) -> None:
    with ServiceProcess(table.environment | {"EXPORT_METRICS_SECONDS": "1"}, tmp_path / "service") as service:
        service.wait_for("service_started")
        table.clients("sqs").delete_queue(QueueUrl=table.environment["SQS_EXPORT_EVENTS_QUEUE_URL"])

        def seen() -> bool:
            failures = [line["level"] for line in service.lines("receive_failed")]
            counted = [line["ReceiveErrors"] for line in service.lines("metrics") if "ReceiveErrors" in line]
            return "error" in failures and any(counted) and "event queue" in service.health_file.read_text()

        eventually(seen, 60)
        ran = table.run("probe")
        assert ran.status == 1
        assert ran.err.count("the event queue") == 1, "the reason is said once"
        assert service.is_running
    assert table.dynamodb.scan(TableName=table.name)["Items"] == [], "the probe left no export"
