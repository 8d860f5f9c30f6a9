"""The command `check`: all is well on the embedded AWS; whatever is broken is named, with what mends it."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from processor.cli.checks.permissions import UNTRIABLE
from processor.embedded.clients import REGION
from processor.embedded.embedded_aws import EmbeddedAws
from tests.cli.conftest import Command, Ran
from tests.cli.refusing_proxy import refusing_proxy
from tests.infra.policies import policy
from tests.infra.tool_venvs import commands_of
from tests.resources import (
    ClientFactory,
    audit_stream,
    drained_messages,
    fresh_name,
    leases_table,
    queue_pair,
    status_table,
    stream_records,
)

DYNAMODB = "DynamoDB_20120810"
STREAMS = "DynamoDBStreams_20120810"


@dataclass
class World:
    """Resources of one test's own, as the service needs them, and the settings that name them."""

    clients: ClientFactory
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return self.environment["DYNAMODB_EXPORT_STATUS_TABLE"]

    @property
    def leases(self) -> str:
        return self.environment["DYNAMODB_EXPORT_LEASES_TABLE"]

    @property
    def queue_url(self) -> str:
        return self.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]

    @property
    def dlq_url(self) -> str:
        return self.environment["SQS_EXPORT_EVENTS_DLQ_URL"]

    def update_table(self, **changes: Any) -> None:
        self.clients("dynamodb").update_table(TableName=self.table, **changes)

    def set_queue(self, url: str, **attributes: str) -> None:
        self.clients("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def recreate_table(self, name: str, key: str, kind: str = "S", **more: Any) -> None:
        dynamodb = self.clients("dynamodb")
        dynamodb.delete_table(TableName=name)
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            **more,
        )


@pytest.fixture
def world(embedded_aws: EmbeddedAws) -> World:
    clients = embedded_aws.client
    table = status_table(clients, ttl=True)
    dynamodb = clients("dynamodb")
    dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    queue_url, dlq_url = queue_pair(clients, attributes={"MaximumMessageSize": "262144"})
    clients("sqs").set_queue_attributes(
        QueueUrl=dlq_url,
        Attributes={"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576"},
    )
    own = {
        "DYNAMODB_EXPORT_STATUS_TABLE": table,
        "DYNAMODB_EXPORT_LEASES_TABLE": leases_table(clients),
        "SQS_EXPORT_EVENTS_QUEUE_URL": queue_url,
        "SQS_EXPORT_EVENTS_DLQ_URL": dlq_url,
        "KINESIS_EXPORT_AUDIT_STREAM": audit_stream(clients, shards=1),
    }
    return World(clients, embedded_aws.environment() | own)


def findings(ran: Ran, verdict: str = "wrong") -> dict[str, dict[str, str]]:
    """The findings of `check --json` with this verdict, by subject."""
    parsed = [json.loads(line) for line in ran.lines]
    return {each["subject"]: each for each in parsed if each["verdict"] == verdict}


def test_nothing_is_wrong_on_the_embedded_aws(embedded_aws: EmbeddedAws, command: Command) -> None:
    ran = command("check", environment=embedded_aws.environment())
    assert (ran.status, ran.err) == (0, "")
    assert {line[0] for line in ran.lines} == {"✓", "\N{EN DASH}"}
    assert "✓ table export-status TTL: on, attribute ttl" in ran.lines


def test_nothing_is_wrong_in_a_world_of_its_own(world: World, command: Command) -> None:
    ran = command("check", "--json", environment=world.environment)
    assert (ran.status, findings(ran)) == (0, {})
    # moto forgets the encryption of a table, and what harm it would do is not tried.
    assert list(findings(ran, "unknown")) == [f"table {world.table} encryption", "permissions"]


Breaking = Callable[[World], object]


def delete_audit_stream(world: World) -> None:
    world.clients("kinesis").delete_stream(StreamName=world.environment["KINESIS_EXPORT_AUDIT_STREAM"])


def drop_redrive(world: World, *, with_setting: bool) -> None:
    world.set_queue(world.queue_url, RedrivePolicy="")
    if not with_setting:
        del world.environment["SQS_EXPORT_EVENTS_DLQ_URL"]


def redrive_elsewhere(world: World) -> None:
    _, other = queue_pair(world.clients)
    redrive(world, other, 60)


def redrive(world: World, dlq_url: str, receives: int) -> None:
    answer = world.clients("sqs").get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": receives}
    world.set_queue(world.queue_url, RedrivePolicy=json.dumps(policy))


def ttl(world: World, *, enabled: bool, attribute: str = "ttl") -> None:
    world.clients("dynamodb").update_time_to_live(
        TableName=world.table, TimeToLiveSpecification={"Enabled": enabled, "AttributeName": attribute}
    )


def other_ttl(world: World) -> None:
    ttl(world, enabled=False)
    ttl(world, enabled=True, attribute="updatedAt")


def keys_only(world: World) -> None:
    specification = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    world.recreate_table(world.table, "requestId", StreamSpecification=specification)


def pitr_off(world: World) -> None:
    world.clients("dynamodb").update_continuous_backups(
        TableName=world.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )


def provisioned(world: World) -> None:
    world.update_table(
        BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    )


MENDABLE: dict[str, tuple[Breaking, str, str]] = {
    "TTL off": (lambda w: ttl(w, enabled=False), "table {table} TTL", "off"),
    "stream off": (
        lambda w: w.recreate_table(w.table, "requestId"),
        "table {table} stream",
        "off, so that nothing is audited",
    ),
    "provisioned": (provisioned, "table {table} billing", "must be on demand, is PROVISIONED"),
    "no backups": (pitr_off, "table {table} point-in-time recovery", "off"),
    "table missing": (
        lambda w: w.clients("dynamodb").delete_table(TableName=w.table),
        "table {table}",
        "does not exist in this region and account",
    ),
    "leases table missing": (
        lambda w: w.clients("dynamodb").delete_table(TableName=w.leases),
        "table {leases}",
        "does not exist in this region and account",
    ),
    "queue missing": (
        lambda w: w.clients("sqs").delete_queue(QueueUrl=w.queue_url),
        "queue {queue}",
        "does not exist in this region and account",
    ),
    "dead-letter queue missing": (
        lambda w: w.clients("sqs").delete_queue(QueueUrl=w.dlq_url),
        "queue {dlq}",
        "does not exist in this region and account",
    ),
    "short visibility": (
        lambda w: w.set_queue(w.queue_url, VisibilityTimeout="29"),
        "queue {queue} visibility timeout",
        "must be at least 30 s for a batch to be settled in, is 29 s",
    ),
    "no redrive": (
        lambda w: drop_redrive(w, with_setting=True),
        "queue {queue} redrive policy",
        "missing, must lead to {dlq}, the SQS_EXPORT_EVENTS_DLQ_URL",
    ),
    "no redrive, no setting": (
        lambda w: drop_redrive(w, with_setting=False),
        "queue {queue} redrive policy",
        "missing",
    ),
    "redrive elsewhere": (redrive_elsewhere, "queue {queue} redrive policy", "must lead to {dlq}"),
    "few receives": (
        lambda w: redrive(w, w.dlq_url, 44),
        "queue {queue} redrive policy",
        "an early event waits 1171 s at least, which must be more than the TTL of 900 s and 300 s",
    ),
    "short retention": (
        lambda w: w.set_queue(w.dlq_url, MessageRetentionPeriod="345600"),
        "queue {dlq} retention",
        "must be longer than the event queue's 345600 s",
    ),
    "equal retention": (
        lambda w: w.set_queue(w.queue_url, MessageRetentionPeriod="1209600"),
        "queue {dlq} retention",
        "must be longer than the event queue's 1209600 s",
    ),
    "no room": (
        lambda w: w.set_queue(w.dlq_url, MaximumMessageSize="262144"),
        "queue {dlq} message size",
        "must be 1024 bytes more than the event queue's 262144, is 262144",
    ),
    "no room to grow": (
        lambda w: w.set_queue(w.queue_url, MaximumMessageSize="1048576"),
        "queue {dlq} message size",
        "must be 1024 bytes more than the event queue's 1048576, is 1048576",
    ),
    "audit stream missing": (
        delete_audit_stream,
        "audit stream {audit}",
        "does not exist in this region and account",
    ),
}

# What one command alone does not mend, or the emulator does not let it.
NOT_AT_ONCE: dict[str, tuple[Breaking, str, str]] = {
    "keys only": (
        keys_only,
        "table {table} stream",
        "must hold NEW_AND_OLD_IMAGES, holds KEYS_ONLY",
    ),
    "TTL on another attribute": (other_ttl, "table {table} TTL", "must be on attribute ttl, is on updatedAt"),
    "wrong key": (
        lambda w: w.recreate_table(w.table, "id"),
        "table {table} key",
        "must be requestId (S) alone, is id (S)",
    ),
    "wrong key type": (
        lambda w: w.recreate_table(w.table, "requestId", "N"),
        "table {table} key",
        "must be requestId (S) alone, is requestId (N)",
    ),
    "wrong lease key": (
        lambda w: w.recreate_table(w.leases, "key"),
        "table {leases} key",
        "must be leaseKey (S) alone, is key (S)",
    ),
}


def named(world: World, text: str) -> str:
    return text.format(
        table=world.environment["DYNAMODB_EXPORT_STATUS_TABLE"],
        leases=world.environment["DYNAMODB_EXPORT_LEASES_TABLE"],
        queue=world.queue_url.rpartition("/")[2],
        dlq=world.environment.get("SQS_EXPORT_EVENTS_DLQ_URL", "").rpartition("/")[2],
        audit=world.environment["KINESIS_EXPORT_AUDIT_STREAM"],
    )


@pytest.mark.parametrize("broken", [*MENDABLE, *NOT_AT_ONCE])
def test_what_is_broken_is_named_and_the_exit_status_is_1(
    world: World, command: Command, broken: str
) -> None:
    break_it, subject, text = (MENDABLE | NOT_AT_ONCE)[broken]
    break_it(world)
    ran = command("check", "--json", environment=world.environment)
    assert ran.status == 1
    finding = findings(ran)[named(world, subject)]
    assert named(world, text) in finding["text"]
    assert finding["mend"].startswith(f"aws --region {REGION} --endpoint-url http://127.0.0.1:")


@pytest.mark.slow
@pytest.mark.parametrize("broken", MENDABLE)
def test_the_command_that_is_shown_mends_it(world: World, command: Command, broken: str) -> None:
    break_it, subject, _ = MENDABLE[broken]
    break_it(world)
    mend = findings(command("check", "--json", environment=world.environment))[named(world, subject)]["mend"]
    done = subprocess.run(
        ["sh", "-euc", mend],
        env={
            "PATH": f"{commands_of('awscli')}:/usr/bin:/bin",
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert named(world, subject) not in findings(command("check", "--json", environment=world.environment))


def test_a_broken_thing_is_one_line_that_can_be_copied(world: World, command: Command) -> None:
    ttl(world, enabled=False)
    ran = command("check", environment=world.environment)
    (line,) = [line for line in ran.lines if line.startswith("✗")]
    endpoint = world.environment["AWS_ENDPOINT_URL"]
    assert line == (
        f"✗ table {world.table} TTL: off → aws --region us-east-1 --endpoint-url {endpoint} dynamodb"
        f" update-time-to-live --table-name {world.table}"
        " --time-to-live-specification Enabled=true,AttributeName=ttl"
    )


@pytest.mark.parametrize(
    ("operation", "action", "subject"),
    [
        (f"{DYNAMODB}.UpdateItem", "dynamodb:UpdateItem", "permissions on table {table}"),
        (f"{DYNAMODB}.GetItem", "dynamodb:GetItem", "permissions on table {table}"),
        (f"{DYNAMODB}.BatchExecuteStatement", "dynamodb:PartiQLUpdate", "permissions on table {table}"),
        (f"{DYNAMODB}.PutItem", "dynamodb:PutItem", "permissions on table {leases}"),
        (f"{DYNAMODB}.DeleteItem", "dynamodb:DeleteItem", "permissions on table {leases}"),
        (f"{DYNAMODB}.Scan", "dynamodb:Scan", "permissions on table {leases}"),
        (f"{STREAMS}.GetRecords", "dynamodb:GetRecords", "permissions on stream of {table}"),
        (f"{STREAMS}.DescribeStream", "dynamodb:DescribeStream", "permissions on stream of {table}"),
        (f"{DYNAMODB}.DescribeTable", "dynamodb:DescribeTable", "table {table}"),
        (f"{DYNAMODB}.DescribeTimeToLive", "dynamodb:DescribeTimeToLive", "table {table} TTL"),
        (
            f"{DYNAMODB}.DescribeContinuousBackups",
            "dynamodb:DescribeContinuousBackups",
            "table {table} point-in-time recovery",
        ),
        ("AmazonSQS.GetQueueAttributes", "sqs:GetQueueAttributes", "queue {queue}"),
        ("Kinesis_20131202.DescribeStreamSummary", "kinesis:DescribeStreamSummary", "audit stream {audit}"),
    ],
)
def test_a_missing_permission_is_named_with_the_policy_that_gives_it(
    world: World, command: Command, operation: str, action: str, subject: str
) -> None:
    with refusing_proxy(world.environment["AWS_ENDPOINT_URL"], operation) as endpoint_url:
        settings = {"AWS_ENDPOINT_URL": endpoint_url, "EXPORT_WRITE_MODE": "auto"}
        ran = command("check", "--json", environment=world.environment | settings)
    assert ran.status == 1
    finding = findings(ran)[named(world, subject)]
    assert "AccessDeniedException" in finding["text"]
    assert f"allow {action} on arn:aws:" in finding["mend"]


def test_a_batch_that_the_server_does_wrong_is_not_called_a_missing_permission(
    world: World, command: Command
) -> None:
    ran = command("check", "--json", environment=world.environment | {"EXPORT_WRITE_MODE": "auto"})
    assert ran.status == 0
    told = findings(ran, "unknown")[f"permissions on table {world.table}"]["text"]
    assert told == "PartiQLUpdate could not be tried (BatchExecuteStatement: ValidationError)"


def test_only_one_part_is_checked_if_asked(world: World, command: Command) -> None:
    ttl(world, enabled=False)
    ran = command("check", "--only", "permissions", environment=world.environment)
    assert ran.status == 0
    assert [line for line in ran.lines if "permissions" not in line] == ran.lines[:2]
    ran = command("check", "--only", "resources", environment=world.environment)
    assert ran.status == 1
    assert not [line for line in ran.lines if "permissions" in line]


def test_unknown_credentials_are_said_once(world: World, command: Command) -> None:
    operations = ("DescribeTable", "GetItem", "UpdateItem")
    refused = [f"{DYNAMODB}.{name}" for name in operations] + ["AmazonSQS.GetQueueAttributes"]
    code = "UnrecognizedClientException"
    endpoint = world.environment["AWS_ENDPOINT_URL"]
    with refusing_proxy(endpoint, *refused, code=code, queries=("GetCallerIdentity",)) as endpoint_url:
        ran = command("check", environment=world.environment | {"AWS_ENDPOINT_URL": endpoint_url})
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
            "STS does not say whose they are",
        ),
    ],
)
def test_an_sts_that_answers_something_else_is_one_line(
    world: World, command: Command, answer: str, text: str
) -> None:
    endpoint = world.environment["AWS_ENDPOINT_URL"]
    with refusing_proxy(endpoint, queries=("GetCallerIdentity",), status=200, xml=answer) as endpoint_url:
        settings = world.environment | {"AWS_ENDPOINT_URL": endpoint_url}
        ran = command("check", "--only", "resources", environment=settings)
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[1] == f"\N{EN DASH} credentials: {text}"


def test_no_answer_is_wrong_too(world: World, command: Command) -> None:
    nowhere = {"AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:1"}
    ran = command("check", "--json", environment=world.environment | nowhere)
    assert ran.status == 1
    (finding,) = findings(ran).values()
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


def test_a_name_that_is_unknown_to_everyone_is_not_made(world: World, command: Command) -> None:
    settings = world.environment | {"DYNAMODB_EXPORT_STATUS_TABLE": fresh_name("none")}
    command("check", environment=settings)
    assert (
        settings["DYNAMODB_EXPORT_STATUS_TABLE"] not in world.clients("dynamodb").list_tables()["TableNames"]
    )
