"""The runbook: a part with the same steps for each alarm, and commands that work."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handlers.timestamps import format_timestamp
from processor.cli.dlq.queue import LETTER_OUTCOMES
from tests.docs.markdown import log_events, read
from tests.docs.shell import shell
from tests.infra.cloudformation import alarms
from tests.infra.events import event
from tests.infra.iam_account import Account, iam_account
from tests.resources import drained_messages

PAGE = read("docs/runbook.md")
STEPS = ("Symptom", "For users", "First command", "Decide", "Over when")
BLOCKS = re.findall(r"<!-- runbook: ([\w ]+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
"""Each block, with the policies of `infra/iam` that it needs."""
# Version 1 of the CLI does not take AWS_ENDPOINT_URL for every service.
PREAMBLE = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n'
WORKS_THOUGH_ONE = re.compile(r"\| grep |^export-status (check|probe)", re.MULTILINE)
"""Commands whose exit status 1 is an answer: nothing matches, or something is not as it should be."""

WORKS_ANYWHERE = re.compile(r"(lines|errors$|events$|export-status (dlq list|check|audit status)).*[^\\]$")
"""Commands that many parts have in common: the test runs each once."""


def parts() -> dict[str, str]:
    """Every part by its heading, of level two or three, without what only introduces others."""
    found = re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {title: text for title, text in found if title not in {"Before you start", "Alarms"}}


def test_every_alarm_has_its_part_and_no_other_has_one() -> None:
    named = {title for title in parts() if title.startswith("export-status-")}
    alarmed = {each["AlarmName"].replace("<ServiceName>", "export-status") for each in alarms().values()}
    assert named == alarmed - {"export-status-lag-scaling"}  # it calls no person: it starts a task


@pytest.mark.parametrize("title", parts())
def test_every_part_has_the_same_steps_in_order(title: str) -> None:
    text = parts()[title]
    places = [text.find(f"**{step}") for step in STEPS]
    assert -1 not in places
    assert places == sorted(places)
    assert "cure" in text.lower() or "**Decide.**" in text


def test_every_line_that_is_searched_for_is_a_log_event() -> None:
    searched = set(re.findall(r"\blines ([a-z]+(?:_[a-z]+)+)", PAGE))
    assert searched
    assert searched <= log_events().keys()


def test_no_letter_that_would_be_refused_again_is_published_again() -> None:
    (left_out,) = re.findall(r"grep -vE '(.*)' letters.jsonl", PAGE)
    kept = [each for each in LETTER_OUTCOMES if not re.search(left_out, f'"outcome":"{each}",')]
    assert kept == ["early", "retry", "unmarked"]


def put_service(client: Callable[[str], Any]) -> None:
    """A log line and a service without tasks."""
    group = {"logGroupName": "/ecs/export-status"}
    client("logs").create_log_group(**group)
    client("logs").create_log_stream(**group, logStreamName="task")
    line = '{"level":"error","event":"audit_gap"}'
    client("logs").put_log_events(
        **group, logStreamName="task", logEvents=[{"timestamp": int(time.time() * 1_000), "message": line}]
    )
    client("ecs").create_cluster(clusterName="export-status")
    container = {"name": "export-status", "image": "export-status", "memory": 128}
    client("ecs").register_task_definition(family="export-status", containerDefinitions=[container])
    client("ecs").create_service(
        cluster="export-status", serviceName="export-status", taskDefinition="export-status", desiredCount=0
    )


def put_letters(account: Account) -> None:
    """300 dead letters of three outcomes, 100 of each."""
    sqs, now = account.root("sqs"), format_timestamp(datetime.now(UTC))
    for outcome in ("invalid", "conflict", "early"):
        status = "unheard-of" if outcome == "invalid" else "processing"
        marks = {"rejectionOutcome": outcome, "rejectionReason": "a reason", "rejectedAt": now}
        attributes = {name: {"DataType": "String", "StringValue": mark} for name, mark in marks.items()}
        for number in range(100):
            sqs.send_message(
                QueueUrl=account.outputs["DeadLetterQueueUrl"],
                MessageBody=json.dumps(event(f"{outcome}-{number}", status, createdAt=now)),
                MessageAttributes=attributes,
            )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with iam_account(tmp_path_factory.mktemp("iam")) as running:
        put_service(running.root)
        put_letters(running)
        yield running


@pytest.mark.slow
def test_every_command_of_the_runbook_works_with_the_policies_of_its_part(
    account: Account, tmp_path: Path
) -> None:
    keys = {
        needed: account.bearer(*dict.fromkeys(("look", *needed.split()))).environment
        for needed in {needed for needed, _ in BLOCKS}
    }
    environment = keys["look"] | {
        "HOME": str(tmp_path),
        "ID": "invalid-7",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SQS_EXPORT_EVENTS_QUEUE_URL": account.outputs["EventsQueueUrl"],
        "EXPORT_AUDIT_SINKS": "kinesis,log",
        "KINESIS_EXPORT_AUDIT_STREAM": "export-audit",
    }
    assert len(BLOCKS) > 10
    script, seen = PREAMBLE, set[str]()
    for number, (needed, commands) in enumerate(BLOCKS):
        secrets = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        script += "export " + " ".join(f"{name}={keys[needed][name]}" for name in secrets) + "\n"
        for line in commands.splitlines():
            if line not in seen:
                script += f"{line}\n"
            if WORKS_ANYWHERE.match(line):
                seen.add(line)
        script += f"echo '=== '{number} $?\n"
    done = shell(script.replace("PATH=$PWD/.venv/bin:$PATH", ""), environment, tmp_path, "awscli")
    assert "error" not in done.stderr.lower(), done.stderr
    assert "denied" not in f"{done.stderr}{done.stdout}".lower(), done.stderr
    assert '"event":"audit_gap"' in done.stdout
    for number, (_, commands) in enumerate(BLOCKS):
        (status,) = re.findall(rf"^=== {number} (\d+)$", done.stdout, re.MULTILINE)
        assert status == "0" or (status == "1" and WORKS_THOUGH_ONE.search(commands)), commands

    assert "the producer has to send a correct event" in done.stdout
    # From 300 letters to an empty queue with everything saved; what was saved can be sent again.
    assert "sent back 100 messages" in done.stdout
    assert not drained_messages(account.root, account.outputs["DeadLetterQueueUrl"])
    saved, dropped = (
        (tmp_path / name).read_text().splitlines() for name in ("letters.jsonl", "dropped.jsonl")
    )
    assert (len(saved), len(dropped)) == (300, 200)
    assert "checked 100 events" in done.stdout
