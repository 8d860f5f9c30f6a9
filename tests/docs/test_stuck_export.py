"""From "export X seems stuck" to its cause, with the runbook's own commands."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handlers.timestamps import format_timestamp
from processor.localaws.embedded_aws import EmbeddedAws
from tests.docs.markdown import fenced, read
from tests.docs.shell import shell
from tests.support.service import ServiceProcess
from tests.waiting import eventually

COMMANDS = fenced(read("docs/runbook.md"), "## An export seems stuck").splitlines()
WHY, GET, LIST, DLQ_LIST, AUDIT_TAIL = COMMANDS
TTL_SECONDS = 900
LEFT_SECONDS = 20

pytestmark = pytest.mark.slow


class Operator:
    """Who runs the page's commands, on an AWS where the service runs."""

    def __init__(self, aws: EmbeddedAws, home: Path) -> None:
        self._aws = aws
        self._home = home
        self.environment = aws.service_environment() | {
            "EXPORT_AUDIT_SINKS": "kinesis,log",
            "EXPORT_HEALTH_FILE": str(home / "health"),
            "EXPORT_DRAIN_SECONDS": "10",
        }

    def run(self, command: str, request_id: str) -> "subprocess.CompletedProcess[str]":
        """One line of the page."""
        return shell(command, self.environment | {"ID": request_id}, self._home)

    def tell(self, body: str) -> None:
        """An event, right or wrong, as a producer sends it."""
        self._aws.client("sqs").send_message(QueueUrl=self._aws.deployment.queue_url, MessageBody=body)

    def sees(self, command: str, request_id: str, wanted: str) -> bool:
        """Whether the command shows this of the export."""
        return wanted in self.run(command, request_id).stdout


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with EmbeddedAws(ttl_seconds=TTL_SECONDS) as aws:
        found = Operator(aws, tmp_path)
        with ServiceProcess(found.environment, tmp_path / "service"):
            yield found


def event(request_id: str, status: str, created: datetime) -> str:
    moment = format_timestamp(created)
    return json.dumps({"requestId": request_id, "status": status, "occurredAt": moment, "createdAt": moment})


def test_the_runbook_s_commands_lead_to_the_cause(operator: Operator) -> None:
    now = datetime.now(UTC)
    operator.tell(event("dead-worker", "processing", now - timedelta(minutes=11)))
    operator.tell(event("bad-event", "pending", now))
    operator.tell(event("bad-event", "finished", now))

    eventually(lambda: operator.sees(GET, "dead-worker", "processing"))
    assert operator.sees(LIST, "dead-worker", "dead-worker")
    assert not operator.sees(LIST, "bad-event", "bad-event")

    assert operator.sees(GET, "bad-event", "pending")
    eventually(lambda: operator.sees(DLQ_LIST, "bad-event", "status must be pending, processing"))

    assert operator.sees(WHY, "bad-event", "the producer has to send a correct event")

    ends = datetime.now(UTC) + timedelta(seconds=LEFT_SECONDS)
    operator.tell(event("too-slow", "processing", ends - timedelta(seconds=TTL_SECONDS)))
    entry = eventually(lambda: operator.run(AUDIT_TAIL, "too-slow").stdout)
    assert {"lastStatus": "processing", "finished": False}.items() <= json.loads(entry).items()
    gone = operator.run(GET, "too-slow")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "not found or expired" in gone.stderr

    assert operator.sees(WHY, "too-slow", "expired as processing: the user has to request a new export")

    assert operator.sees(WHY, "never-requested", "Nothing is known of it")
    unknown = operator.run(AUDIT_TAIL, "never-requested")
    assert (unknown.returncode, unknown.stdout) == (1, "")
