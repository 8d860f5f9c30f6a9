"""The runbook: a part with the same steps for each alarm, and commands that work."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.docs.markdown import log_events, read
from tests.engines.ministack import ROOT_KEY
from tests.infra.cloudformation import INFRA, of_type
from tests.infra.tool_venvs import commands_of
from tests.waiting import eventually

PAGE = read("docs/runbook.md")
STEPS = ("Symptom", "For users", "First command", "Decide", "Over when")
BLOCKS = re.findall(r"<!-- runbook: (\w+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
# Version 1 of the CLI does not take AWS_ENDPOINT_URL for every service.
PREAMBLE = 'aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }\n'
WORKS_THOUGH_ONE = re.compile(r"\| grep |^export-status check", re.MULTILINE)
"""Commands whose exit status 1 is an answer: nothing matches, or something is not as it should be."""


def parts() -> dict[str, str]:
    """Every part by its heading, of level two or three, without what only introduces others."""
    found = re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return {title: text for title, text in found if title not in {"Before you start", "Alarms"}}


def test_every_alarm_has_its_part_and_no_other_has_one() -> None:
    named = {title for title in parts() if title.startswith("export-status-")}
    alarms = of_type("service.yaml", "AWS::CloudWatch::Alarm")
    del alarms["LagScalingAlarm"]  # it calls no person: it starts a task
    assert named == {
        alarm["AlarmName"].replace("<ServiceName>", "export-status") for alarm in alarms.values()
    }


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


def deploy(client: Callable[[str], Any]) -> str:
    """The data plane, a log line and a service without tasks; returns the event queue's URL."""
    client("cloudformation").create_stack(StackName="data", TemplateBody=(INFRA / "data.yaml").read_text())
    eventually(
        lambda: (
            client("cloudformation").describe_stacks(StackName="data")["Stacks"][0]["StackStatus"]
            == "CREATE_COMPLETE"
        ),
        60,
    )
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
    return str(client("sqs").get_queue_url(QueueName="export-events")["QueueUrl"])


@pytest.mark.slow
def test_every_command_of_the_runbook_works(ministack: str, tmp_path: Path) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": ROOT_KEY, "AWS_SECRET_ACCESS_KEY": ROOT_KEY}

    def client(service: str) -> Any:
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=ministack,
            region_name="us-east-1",
            aws_access_key_id=ROOT_KEY,
            aws_secret_access_key=ROOT_KEY,
        )

    environment = {
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), str(commands_of("awscli")), os.environ["PATH"]]
        ),
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": ministack,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SQS_EXPORT_EVENTS_QUEUE_URL": deploy(client),
        "EXPORT_AUDIT_SINKS": "kinesis,log",
        "KINESIS_EXPORT_AUDIT_STREAM": "export-audit",
        **credentials,
    }
    assert len(BLOCKS) > 10
    script = PREAMBLE + "".join(
        f"{commands}\necho '=== '{number} $?\n" for number, (_, commands) in enumerate(BLOCKS)
    )
    done = subprocess.run(
        ["bash", "-uc", script.replace("PATH=$PWD/.venv/bin:$PATH", "")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "error" not in done.stderr.lower(), done.stderr
    assert '"event":"audit_gap"' in done.stdout
    for number, (_, commands) in enumerate(BLOCKS):
        (status,) = re.findall(rf"^=== {number} (\d+)$", done.stdout, re.MULTILINE)
        assert status == "0" or (status == "1" and WORKS_THOUGH_ONE.search(commands)), commands
