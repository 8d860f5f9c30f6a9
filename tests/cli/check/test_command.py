"""The command `check`: all is well on the embedded AWS; what is refused or missing is one line."""

import json

import pytest

from processor.cli.check.permissions import UNTRIABLE
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.check.world import World, findings, named
from tests.cli.conftest import Command, refusing
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


def test_a_complete_world_has_no_wrong_finding(world: World, command: Command) -> None:
    ran = command("check", "--json", environment=world.environment)
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
    world: World, command: Command, operation: str, subject: str
) -> None:
    service, _, name = operation.partition(":")
    action = operation.replace("streams", "dynamodb").replace("BatchExecuteStatement", "PartiQLUpdate")
    with refusing(
        world.environment | {"EXPORT_WRITE_MODE": "auto"}, f"{TARGETS[service]}.{name}"
    ) as settings:
        ran = command("check", "--json", environment=settings)
    assert ran.status == 1
    finding = findings(ran.lines)[named(world, subject)]
    assert "AccessDeniedException" in finding["text"]
    assert finding["remedy"].startswith("ask an administrator to allow arn:aws:")
    assert f" {action} on arn:aws:" in finding["remedy"] or f" {action}, " in finding["remedy"]


def test_a_batch_that_the_server_does_wrong_is_not_called_a_missing_permission(
    world: World, command: Command
) -> None:
    ran = command("check", "--json", environment=world.environment | {"EXPORT_WRITE_MODE": "auto"})
    assert ran.status == 0
    text = findings(ran.lines, "unknown")[f"permissions on table {world.table}"]["text"]
    assert text == "PartiQLUpdate could not be tried (BatchExecuteStatement: ValidationError)"


def test_only_one_part_is_checked_if_asked(world: World, command: Command) -> None:
    world.set_ttl(enabled=False)
    ran = command("check", "--only", "permissions", environment=world.environment)
    assert ran.status == 0
    assert [line for line in ran.lines if "permissions" not in line] == ran.lines[:2]
    ran = command("check", "--only", "resources", environment=world.environment)
    assert ran.status == 1
    assert not [line for line in ran.lines if "permissions" in line]


def test_unknown_credentials_are_one_finding(world: World, command: Command) -> None:
    operations = ("DescribeTable", "GetItem", "UpdateItem")
    refused = [f"{TARGETS['dynamodb']}.{name}" for name in operations] + ["AmazonSQS.GetQueueAttributes"]
    code = "UnrecognizedClientException"
    with refusing(world.environment, *refused, code=code, queries=("GetCallerIdentity",)) as settings:
        ran = command("check", environment=settings)
    assert ran.status == 1
    assert ran.lines == [
        "✓ region: us-east-1",
        f"✗ credentials: refused (GetCallerIdentity: {code}) → aws sts get-caller-identity",
    ]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("<html><body>Welcome</body></html>", "STS does not answer (GetCallerIdentity: ResponseParserError)"),
        (
            "<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>",
            "the answer of STS has no ARN",
        ),
    ],
)
def test_an_sts_that_answers_something_else_is_one_line(
    world: World, command: Command, answer: str, text: str
) -> None:
    with refusing(world.environment, queries=("GetCallerIdentity",), status=200, xml=answer) as settings:
        ran = command("check", "--only", "resources", environment=settings)
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[1] == f"\N{EN DASH} credentials: {text}"


def test_no_answer_is_wrong_too(world: World, command: Command) -> None:
    nowhere = {"AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1"}
    ran = command("check", "--json", environment=world.environment | nowhere)
    assert ran.status == 1
    (finding,) = findings(ran.lines).values()
    assert finding["text"].startswith("no answer at http://127.0.0.1:1 (DescribeStreamSummary: ")


@pytest.mark.parametrize(
    ("missing", "environment", "line"),
    [
        ("SQS_EXPORT_EVENTS_QUEUE_URL", {}, "must be set to the URL of the event queue"),
        ("AWS_REGION", {}, "must be set to the region of the table, such as us-east-1"),
        (
            "KINESIS_EXPORT_AUDIT_STREAM",
            {"EXPORT_AUDIT_SINKS": "kinesis,log"},
            "must be set to the audit stream's name",
        ),
    ],
)
def test_a_missing_setting_is_one_line_and_exit_2(
    world: World, command: Command, missing: str, environment: dict[str, str], line: str
) -> None:
    kept = {name: value for name, value in world.environment.items() if name != missing}
    ran = command("check", environment=kept | environment)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"export-status: {missing} {line}\n"


def test_it_changes_nothing(world: World, command: Command) -> None:
    world.clients("sqs").send_message(QueueUrl=world.queue_url, MessageBody="x")
    command("check", environment=world.environment | {"EXPORT_WRITE_MODE": "auto"})
    dynamodb = world.clients("dynamodb")
    for table in (world.table, world.leases):
        assert dynamodb.scan(TableName=table)["Items"] == []
    assert stream_records(world.clients, world.table) == []
    (message,) = drained_messages(world.clients, world.queue_url)
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"


def test_every_action_of_the_task_is_looked_at_tried_or_named(world: World, command: Command) -> None:
    asked = {
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "dynamodb:DescribeTable",
        "kinesis:DescribeStreamSummary",
    }
    settings = world.environment | {"EXPORT_WRITE_MODE": "auto"}
    ran = command("check", "--json", "--only", "permissions", environment=settings)
    tried = {
        f"dynamodb:{action.partition(' ')[0]}"
        for line in ran.lines
        if (finding := json.loads(line))["subject"].startswith("permissions on")
        for action in finding["text"].split(", ")
    }
    allowed = {action for statement in policy("task")["Statement"] for action in statement["Action"]}
    assert asked | tried | set(UNTRIABLE) == allowed
