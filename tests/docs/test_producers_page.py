"""The examples of docs/producers.md work, and events are rejected as it states."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from processor.localaws.embedded_aws import EmbeddedAws, isolated_environment
from tests.docs.markdown import codes, fenced, read, table
from tests.docs.pipes import filled_in, linted
from tests.docs.shell import shell
from tests.resources import create_table

PAGE = read("docs/producers.md")
NOW = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
EVENT = {
    "requestId": "req-1",
    "status": "completed",
    "occurredAt": "2026-11-22T10:00:07.250Z",
    "createdAt": "2026-11-22T10:00:00.000Z",
}


def test_the_events_of_the_page_are_accepted() -> None:
    blocks = re.findall(r"<!-- accepted -->\n```json\n(.*?)```", PAGE, re.DOTALL)
    assert [decode(block, now=NOW).status.value for block in blocks] == ["completed", "processing"]
    assert decode(blocks[1], now=NOW).event_id == "9f0c"


@pytest.mark.parametrize("row", table(PAGE, "| event | `rejectionReason`"), ids=lambda row: row[1][:40])
def test_each_rejection_has_the_reason_that_the_page_names(row: list[str]) -> None:
    [body], [reason] = codes(row[0]), codes(row[1])
    with pytest.raises(InvalidEvent) as refused:
        decode(body, now=NOW)
    assert str(refused.value) == reason


def test_the_dry_run_of_the_page_works_without_aws(tmp_path: Path) -> None:
    script = fenced(PAGE, "## In your CI")
    done = shell(f"set -e\n{script}", isolated_environment(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 events" in done.stdout + done.stderr


def test_the_outbox_writes_job_and_event_together_or_neither(embedded_aws: EmbeddedAws) -> None:
    dynamodb = embedded_aws.client("dynamodb")
    create_table(embedded_aws.client, "jobs", "id")
    made: dict[str, Any] = {}
    exec(fenced(PAGE, "sends the event from the table's stream."), made)  # noqa: S102 - the page's own code
    made["complete"](dynamodb, "jobs", "job-1", EVENT)
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException):
        made["complete"](dynamodb, "jobs", "job-2", EVENT)
    items = {item["id"]["S"]: item for item in dynamodb.scan(TableName="jobs")["Items"]}
    assert items.keys() == {"job-1", "event#req-1#completed"}
    template = yaml.safe_load(re.sub(r"!\w+", "", fenced(PAGE, "linted by tests/docs")))
    pipe = template["Resources"]["Outbox"]["Properties"]
    body = filled_in(pipe["TargetParameters"]["InputTemplate"], items["event#req-1#completed"])
    assert decode(body, now=NOW, fifo=True).request_id == "req-1"
    pattern = json.loads(pipe["SourceParameters"]["FilterCriteria"]["Filters"][0]["Pattern"])
    prefix = pattern["dynamodb"]["Keys"]["id"]["S"][0]["prefix"]
    assert [key for key in items if key.startswith(prefix)] == ["event#req-1#completed"]


def test_the_pipe_s_template_is_clean(tmp_path: Path) -> None:
    assert linted(fenced(PAGE, "linted by tests/docs"), tmp_path) == ""
