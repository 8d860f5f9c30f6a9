"""The page's commands do what they say they do, and can be run again."""

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from processor.embedded.clients import emulator_client
from tests.infra.cloudformation import INFRA, load, resources
from tests.infra.moto_server import moto_server
from tests.infra.policies import policy
from tests.infra.tool_venvs import commands_of

ROOT = INFRA.parent
PAGE = INFRA / "aws-cli.md"
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Version 1 of the CLI does not take AWS_ENDPOINT_URL for SQS.
PREAMBLE = 'aws() { command aws --endpoint-url "$ENDPOINT_URL" "$@"; }\n'
END_OF_BLOCK = "=== end of block ==="

pytestmark = pytest.mark.slow


def blocks() -> list[tuple[str, str | None]]:
    """The page's commands in order, each with the output that follows it on the page, if any."""
    found = BLOCK.findall(PAGE.read_text())
    following = [*found[1:], ("bash", "")]
    return [
        (text, shown if kind == "text" else None)
        for (language, text), (kind, shown) in zip(found, following, strict=True)
        if language == "bash"
    ]


def run(endpoint_url: str) -> list[str]:
    """Runs every block in one shell; what each printed."""
    script = PREAMBLE + "".join(f"{text}\necho '{END_OF_BLOCK}'\n" for text, _ in blocks())
    path = f"{commands_of('awscli')}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=ROOT,
        env={
            "PATH": path,
            "HOME": "/nonexistent",
            "ENDPOINT_URL": endpoint_url,
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(f"{END_OF_BLOCK}\n")[:-1]


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def printed(endpoint_url: str) -> list[str]:
    return run(endpoint_url)


def test_every_command_prints_what_the_page_shows(printed: list[str]) -> None:
    shown = [(text, output) for text, output in blocks()]
    assert len(printed) == len(shown) > 8
    for got, (_, wanted) in zip(printed, shown, strict=True):
        assert wanted is None or got == wanted


NAMES = {
    "Partition": "aws",
    "Region": "us-east-1",
    "AccountId": "123456789012",
    "TableName": "export-status",
    "LeasesTableName": "export-status-leases",
    "EventsQueueName": "export-events",
    "DeadLetterQueueName": "export-events-dlq",
    "AuditStreamName": "export-audit",
}


def test_the_names_are_the_template_s_defaults() -> None:
    defaults = {name: value["Default"] for name, value in load("data.yaml")["Parameters"].items()}
    assert defaults.items() <= NAMES.items()


@pytest.mark.parametrize("resource", ["EventsQueue", "DeadLetterQueue"])
def test_queues_come_out_as_the_template_describes_them(
    endpoint_url: str, printed: list[str], resource: str
) -> None:
    sqs = emulator_client("sqs", endpoint_url)
    template = load("data.yaml")
    properties = resources("data.yaml")[resource]["Properties"]
    url = sqs.get_queue_url(QueueName=NAMES[properties.pop("QueueName").strip("<>")])["QueueUrl"]
    made = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    properties.pop("RedriveAllowPolicy", None)  # moto keeps it under no circumstances
    statement = template["Resources"][f"{resource}Policy"]["Properties"]["PolicyDocument"]["Statement"][0]
    assert json.loads(made["Policy"])["Statement"] == [statement | {"Resource": made["QueueArn"]}]
    for name, wanted in properties.items():
        text = json.dumps(wanted) if not isinstance(wanted, str) else wanted
        for token, value in NAMES.items():
            text = text.replace(f"<{token}>", value)
        text = text.replace("<DeadLetterQueue.Arn>", "arn:aws:sqs:us-east-1:123456789012:export-events-dlq")
        assert json.loads(made[name]) == json.loads(text), name


def test_tables_come_out_as_the_template_describes_them(endpoint_url: str, printed: list[str]) -> None:
    dynamodb = emulator_client("dynamodb", endpoint_url)
    for resource in ("StatusTable", "LeasesTable"):
        properties = resources("data.yaml")[resource]["Properties"]
        name = NAMES[properties["TableName"].strip("<>")]
        made = dynamodb.describe_table(TableName=name)["Table"]
        backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        wanted_ttl = properties.get("TimeToLiveSpecification", {"Enabled": False})
        assert made["KeySchema"] == properties["KeySchema"]
        assert made["AttributeDefinitions"] == properties["AttributeDefinitions"]
        assert made["BillingModeSummary"]["BillingMode"] == properties["BillingMode"]
        assert made["SSEDescription"]["SSEType"] == properties["SSESpecification"]["SSEType"]
        assert made["DeletionProtectionEnabled"] is properties["DeletionProtectionEnabled"]
        assert made.get("StreamSpecification", {}).get("StreamViewType") == properties.get(
            "StreamSpecification", {}
        ).get("StreamViewType")
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
        assert (ttl["TimeToLiveStatus"] == "ENABLED") is wanted_ttl["Enabled"]
        assert ttl.get("AttributeName") == wanted_ttl.get("AttributeName")


def test_permissions_come_out_as_infra_iam_has_them(endpoint_url: str, printed: list[str]) -> None:
    iam = emulator_client("iam", endpoint_url)
    task = iam.get_role_policy(RoleName="export-status-task", PolicyName="export-status-task")
    operator = iam.get_group_policy(GroupName="export-status-operators", PolicyName="export-status-operator")
    assert task["PolicyDocument"] == policy("task", NAMES)
    assert operator["PolicyDocument"] == policy("operator", NAMES)


def test_everything_can_be_run_again(endpoint_url: str, printed: list[str]) -> None:
    assert run(endpoint_url) == printed
