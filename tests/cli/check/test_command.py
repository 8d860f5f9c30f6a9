"""The command `check`: all is well on the embedded AWS; what is refused or missing is one line."""

import json

import pytest

from processor.cli.check.permissions import UNTRIABLE
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.check.world import World, findings, named
from tests.cli.commands import Command, Ran
from tests.cli.conftest import refusing
from tests.infra.policies import policy
from tests.resources import drained_messages, stream_records

TARGETS = {
    "dynamodb": "DynamoDB_20120810",
    "streams": "DynamoDBStreams_20120810",
    "sqs": "AmazonSQS",
    "kinesis": "Kinesis_20131202",
}
"""The service of X-Amz-Target."""


def test_nothing_is_wrong_on_the_embedded_aws(embedded_aws: EmbeddedAws, command: Command) -> None:
    ran = command("check", environment=embedded_aws.environment())
    assert (ran.status, ran.err) == (0, "")
    assert {line[0] for line in ran.lines} == {"✓", "\N{EN DASH}"}
    assert "✓ table export-status TTL: on, attribute ttl" in ran.lines


def test_a_complete_world_has_no_wrong_finding(world: World) -> None:
    ran = world.check("--json")
    assert (ran.status, findings(ran.lines)) == (0, {})
    # moto forgets the encryption of a table, and what harm it would do is not tried.
    assert list(findings(ran.lines, "unknown")) == [f"table {world.table} encryption", "permissions"]


@pytest.mark.parametrize(
    ("operation", "subject"),
    [
        ("dynamodb:UpdateItem", "permissions on table {table}"),
        ("dynamodb:BatchGetItem", "permissions on table {table}"),
        ("dynamodb:BatchExecuteStatement", "permissions on table {table}"),
        ("dynamodb:PutItem", "permissions on table {leases}"),
        ("dynamodb:DeleteItem", "permissions on table {leases}"),
        ("dynamodb:Scan", "permissions on table {leases}"),
        ("streams:GetRecords", "permissions on stream of {table}"),
        ("streams:DescribeStream", "permissions on stream of {table}"),
        ("dynamodb:DescribeTable", "table {table}"),
        ("dynamodb:DescribeTimeToLive", "table {table} TTL"),
        ("dynamodb:DescribeContinuousBackups", "table {table} point-in-time recovery"),
        ("sqs:GetQueueAttributes", "queue {queue}"),
        ("kinesis:DescribeStreamSummary", "audit stream {audit}"),
    ],
)
def test_a_missing_permission_is_named_with_the_policy_that_gives_it(
    world: World, operation: str, subject: str
) -> None:
    service, _, name = operation.partition(":")
    action = operation.replace("streams", "dynamodb").replace("BatchExecuteStatement", "PartiQLUpdate")
    with refusing(
        world.environment | {"EXPORT_WRITE_MODE": "auto"}, f"{TARGETS[service]}.{name}"
    ) as settings:
        ran = world.check("--json", **settings)
    assert ran.status == 1
    finding = findings(ran.lines)[named(world, subject)]
    assert "AccessDeniedException" in finding["text"]
    assert finding["remedy"].startswith("ask an administrator to allow arn:aws:")
    assert f" {action} on arn:aws:" in finding["remedy"] or f" {action}, " in finding["remedy"]


def test_a_batch_that_the_server_does_wrong_is_not_called_a_missing_permission(world: World) -> None:
    ran = world.check("--json", EXPORT_WRITE_MODE="auto")
    assert ran.status == 0
    text = findings(ran.lines, "unknown")[f"permissions on table {world.table}"]["text"]
    assert text == "PartiQLUpdate could not be tried (BatchExecuteStatement: ValidationError)"


def test_only_one_part_is_checked_if_asked(world: World) -> None:
    world.set_ttl(enabled=False)
    ran = world.check("--only", "permissions")
    assert ran.status == 0
    assert [line for line in ran.lines if "permissions" not in line] == ran.lines[:2]
    ran = world.check("--only", "resources")
    assert ran.status == 1
    assert not [line for line in ran.lines if "permissions" in line]


def test_unknown_credentials_are_one_finding(world: World) -> None:
    operations = ("DescribeTable", "GetItem", "UpdateItem")
    refused = [f"{TARGETS['dynamodb']}.{name}" for name in operations] + ["AmazonSQS.GetQueueAttributes"]
    code = "UnrecognizedClientException"
    with refusing(world.environment, *refused, code=code, queries=("GetCallerIdentity",)) as settings:
        ran = world.check(**settings)
    assert ran.status == 1
    assert ran.lines == [
        "✓ region: us-east-1",
        f"✗ credentials: refused (GetCallerIdentity: {code}) → aws sts get-caller-identity",
    ]


def test_an_sts_that_answers_something_else_is_one_line(world: World) -> None:
    page = "<html><body>Welcome</body></html>"
    with refusing(world.environment, queries=("GetCallerIdentity",), status=200, xml=page) as settings:
        ran = world.check("--only", "resources", **settings)
    assert (ran.status, ran.err) == (0, "")
    text = "STS does not answer (GetCallerIdentity: ResponseParserError)"
    assert ran.lines[1] == f"\N{EN DASH} credentials: {text}"


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("SQS_EXPORT_EVENTS_QUEUE_URL", "must be set to the URL of the event queue"),
        ("AWS_REGION", "must be set to the region of the table, such as us-east-1"),
        ("KINESIS_EXPORT_AUDIT_STREAM", "must be set to the audit stream's name"),
    ],
)
def test_a_missing_setting_is_one_line_and_exit_2(world: World, missing: str, line: str) -> None:
    ran = world.check(**{missing: "", "EXPORT_AUDIT_SINKS": "kinesis,log"})
    assert ran == Ran(2, "", f"export-status: {missing} {line}\n")


def test_it_changes_nothing(world: World) -> None:
    world.clients("sqs").send_message(QueueUrl=world.queue_url, MessageBody="x")
    world.check(EXPORT_WRITE_MODE="auto")
    dynamodb = world.clients("dynamodb")
    for table in (world.table, world.leases):
        assert dynamodb.scan(TableName=table)["Items"] == []
    assert stream_records(world.clients, world.table) == []
    (message,) = drained_messages(world.clients, world.queue_url)
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_every_action_of_the_task_is_looked_at_tried_or_named(world: World) -> None:
    asked = {"dynamodb:DescribeTable", "kinesis:DescribeStreamSummary"}
    asked |= {"sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
    settings = world.environment | {"EXPORT_WRITE_MODE": "auto"}
    ran = world.check("--json", "--only", "permissions", **settings)
    tried = {
        f"dynamodb:{action.partition(' ')[0]}"
        for line in ran.lines
        if (finding := json.loads(line))["subject"].startswith("permissions on")
        for action in finding["text"].split(", ")
    }
    allowed = {action for statement in policy("task")["Statement"] for action in statement["Action"]}
    assert asked | tried | set(UNTRIABLE) == allowed
