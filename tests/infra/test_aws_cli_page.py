"""The page's commands do what they say they do, and can be run again."""

import json
from collections.abc import Iterator

import pytest

from processor.localaws.clients import emulator_client
from tests.infra.cloudformation import INFRA, NO_VALUE, load, parameter_defaults, resources
from tests.infra.moto_server import moto_server
from tests.infra.pages import blocks, run
from tests.infra.policies import policy

PAGE = INFRA / "aws-cli.md"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def printed(endpoint_url: str) -> list[str]:
    return run(PAGE, endpoint_url)


def test_every_command_prints_what_the_page_shows(printed: list[str]) -> None:
    shown = [(text, output) for text, output in blocks(PAGE)]
    assert len(printed) == len(shown) > 8
    for got, (_, wanted) in zip(printed, shown, strict=True):
        assert wanted is None or got == wanted


NAMES = {**parameter_defaults("watch.yaml"), "Partition": "aws", "Region": "us-east-1"}
NAMES["AccountId"] = "123456789012"


@pytest.mark.parametrize("resource", ["EventsQueue", "DeadLetterQueue"])
def test_queues_come_out_as_the_template_describes_them(
    endpoint_url: str, printed: list[str], resource: str
) -> None:
    sqs = emulator_client("sqs", endpoint_url)
    template = load("data.yaml")
    properties = {
        name: value["else"] if isinstance(value, dict) and "if" in value else value
        for name, value in resources("data.yaml")[resource]["Properties"].items()
    }
    properties = {name: value for name, value in properties.items() if value != NO_VALUE}
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
