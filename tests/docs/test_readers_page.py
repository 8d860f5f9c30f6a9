"""The Pipe of docs/readers.md is clean, and pushes final statuses without a signed URL."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from handlers.export import Export, Status
from handlers.transitions import is_terminal
from tests.docs.markdown import fenced, read
from tests.docs.pipes import filled_in, linted

PAGE = read("docs/readers.md")
TEMPLATE = fenced(PAGE, "linted by tests/docs")
PIPE = yaml.safe_load(re.sub(r"!\w+", "", TEMPLATE))["Resources"]["FinalStatuses"]["Properties"]


@pytest.mark.slow
def test_the_pipe_s_template_is_clean(tmp_path: Path) -> None:
    assert linted(TEMPLATE, tmp_path) == ""


def test_the_filter_passes_the_terminal_statuses_only() -> None:
    [only] = PIPE["SourceParameters"]["FilterCriteria"]["Filters"]
    pattern = json.loads(only["Pattern"])
    passed = pattern["dynamodb"]["NewImage"]["status"]["S"]
    assert sorted(passed) == sorted(status.value for status in Status if is_terminal(status))
    assert "REMOVE" not in pattern["eventName"]


def test_what_is_pushed_holds_no_url() -> None:
    at = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    export = Export("req-1", Status.COMPLETED, at, at, ttl=1, signed_url="https://x/?X-Amz-Signature=s")
    pushed = json.loads(filled_in(PIPE["TargetParameters"]["InputTemplate"], export.to_item()))
    assert pushed == {"requestId": "req-1", "status": "completed", "updatedAt": "2026-11-22T10:00:00.000Z"}
