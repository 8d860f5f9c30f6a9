"""The page's commands do what they say they do, and can be run again."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor.localaws.clients import emulator_client
from processor.localaws.embedded_aws import isolated_environment
from tests.engines.moto_server import MotoServer
from tests.infra import iam_account
from tests.infra.cloudformation import INFRA
from tests.infra.pages import CREDENTIALS, blocks, run
from tests.infra.policies import policy
from tests.support.commands import finished

PAGE = INFRA / "aws-cli.md"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with MotoServer() as server:
        yield server.endpoint_url


@pytest.fixture(scope="module")
def printed(endpoint_url: str) -> list[str]:
    return run(PAGE, endpoint_url)


def test_every_command_prints_what_the_page_shows(printed: list[str]) -> None:
    shown = [(text, output) for text, output in blocks(PAGE)]
    assert len(printed) == len(shown) > 8
    for got, (_, wanted) in zip(printed, shown, strict=True):
        assert wanted is None or got == wanted


def test_check_finds_nothing_wrong_with_what_the_page_makes(
    endpoint_url: str, printed: list[str], tmp_path: Path
) -> None:
    lines = dict(line.split("=", 1) for line in printed[-1].splitlines())
    environment = isolated_environment() | CREDENTIALS | lines | {"AWS_ENDPOINT_URL": endpoint_url}
    command = (sys.executable, "-m", "processor", "check", "--only", "resources")
    done = finished(*command, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "table export-status encryption: on" in done.stdout


NAMES = iam_account.NAMES | {"AccountId": "123456789012"}


def test_permissions_come_out_as_infra_iam_has_them(endpoint_url: str, printed: list[str]) -> None:
    iam = emulator_client("iam", endpoint_url)
    task = iam.get_role_policy(RoleName="export-status-task", PolicyName="export-status-task")
    assert task["PolicyDocument"] == policy("task", NAMES)
    for may in ("look", "redrive", "replay"):
        made = iam.get_group_policy(GroupName=f"export-status-{may}", PolicyName="export-status-operator")
        assert made["PolicyDocument"] == policy(may, NAMES)


def test_everything_can_be_run_again_and_a_queue_keeps_the_statements_of_others(
    endpoint_url: str, printed: list[str]
) -> None:
    sqs = emulator_client("sqs", endpoint_url)
    url = sqs.get_queue_url(QueueName="export-events")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:123456789012:export-events"
    others = {
        "Sid": "SendFromServices",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }

    def sids() -> list[str]:
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        return [each["Sid"] for each in json.loads(answer["Attributes"]["Policy"])["Statement"]]

    made_by_hand = json.dumps({"Version": "2012-10-17", "Statement": [others]}, indent=2)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": made_by_hand})
    assert run(PAGE, endpoint_url) == printed
    for _ in range(2):
        run(PAGE, endpoint_url, only=("ACCOUNT=$(aws", "set-queue-attributes"))
        assert sids() == ["DenyInsecureTransport", "SendFromServices"]


def test_fifo_queues_are_made_as_the_template_makes_them(endpoint_url: str) -> None:
    queues = {"QUEUE": "export-events", "DLQ": "export-events-dlq"}
    edits = {f"{name}={queue}": f"{name}={queue}.fifo" for name, queue in queues.items()}
    run(PAGE, endpoint_url, ("ACCOUNT=$(aws", "set-queue-attributes"), {"FIFO=": "FIFO=yes"} | edits)
    sqs = emulator_client("sqs", endpoint_url)
    for name in queues.values():
        url = sqs.get_queue_url(QueueName=f"{name}.fifo")["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert (found["FifoQueue"], found["ContentBasedDeduplication"]) == ("true", "true")
        assert found["DeduplicationScope"] == "messageGroup"
        assert found["FifoThroughputLimit"] == "perMessageGroupId"
        redrive = json.loads(found.get("RedrivePolicy", "{}")).get("deadLetterTargetArn", "")
        assert redrive.endswith(":export-events-dlq.fifo" if name == "export-events" else "")
