"""`check` reports each fault, and its command corrects it."""

import json
import subprocess
from collections.abc import Callable

import pytest

from processor.localaws.clients import REGION
from tests.cli.check.world import World, findings, named
from tests.cli.conftest import Command
from tests.infra.tool_venvs import commands_of
from tests.resources import queue_pair

Breaking = Callable[[World], object]


def delete_audit_stream(world: World) -> None:
    world.clients("kinesis").delete_stream(StreamName=world.environment["KINESIS_EXPORT_AUDIT_STREAM"])


def sets(queue: str, **attributes: str) -> Breaking:
    return lambda w: w.set_queue(w.queue_url if queue == "queue" else w.dlq_url, **attributes)


def no_dlq_at_all(world: World) -> None:
    world.set_queue(world.queue_url, RedrivePolicy="")
    del world.environment["SQS_EXPORT_EVENTS_DLQ_URL"]


def redrive_elsewhere(world: World) -> None:
    _, other = queue_pair(world.clients)
    redrive(world, other, 60)


def redrive(world: World, dlq_url: str, receives: int) -> None:
    answer = world.clients("sqs").get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": receives}
    world.set_queue(world.queue_url, RedrivePolicy=json.dumps(policy))


def other_ttl(world: World) -> None:
    world.set_ttl(enabled=False)
    world.set_ttl(enabled=True, attribute="updatedAt")


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


NOT_THERE = "does not exist in this region and account"
MENDABLE: dict[str, tuple[Breaking, str, str]] = {
    "TTL off": (lambda w: w.set_ttl(enabled=False), "table {table} TTL", "off"),
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
        NOT_THERE,
    ),
    "leases table missing": (
        lambda w: w.clients("dynamodb").delete_table(TableName=w.leases),
        "table {leases}",
        NOT_THERE,
    ),
    "queue missing": (
        lambda w: w.clients("sqs").delete_queue(QueueUrl=w.queue_url),
        "queue {queue}",
        NOT_THERE,
    ),
    "dead-letter queue missing": (
        lambda w: w.clients("sqs").delete_queue(QueueUrl=w.dlq_url),
        "queue {dlq}",
        NOT_THERE,
    ),
    "audit stream missing": (delete_audit_stream, "audit stream {audit}", NOT_THERE),
    "short visibility": (
        sets("queue", VisibilityTimeout="29"),
        "queue {queue} visibility timeout",
        "must be at least 30 s for a batch to be settled in, is 29 s",
    ),
    "visibility of the TTL": (
        sets("queue", VisibilityTimeout="900"),
        "queue {queue} visibility timeout",
        "must be below the TTL of 900 s, is 900 s: the messages of a killed task come back expired",
    ),
    "long visibility": (
        sets("queue", VisibilityTimeout="301"),
        "queue {queue} visibility timeout",
        "should be at most a third of the TTL of 900 s, is 301 s",
    ),
    "no redrive": (
        sets("queue", RedrivePolicy=""),
        "queue {queue} redrive policy",
        "missing, must lead to {dlq}, the SQS_EXPORT_EVENTS_DLQ_URL",
    ),
    "no redrive, no setting": (no_dlq_at_all, "queue {queue} redrive policy", "missing"),
    "redrive elsewhere": (redrive_elsewhere, "queue {queue} redrive policy", "must lead to {dlq}"),
    "few receives": (
        lambda w: redrive(w, w.dlq_url, 44),
        "queue {queue} redrive policy",
        "an early event waits 1171 s at least, which must be more than the TTL of 900 s and 300 s",
    ),
    "short retention": (
        sets("dlq", MessageRetentionPeriod="345600"),
        "queue {dlq} retention",
        "must be at least 1 s more than the event queue's 345600",
    ),
    "equal retention": (
        sets("queue", MessageRetentionPeriod="1209600"),
        "queue {dlq} retention",
        "must be at least 1 s more than the event queue's 1209600",
    ),
    "no room": (
        sets("dlq", MaximumMessageSize="262144"),
        "queue {dlq} message size",
        "must be at least 2048 bytes more than the event queue's 262144",
    ),
    "no room to grow": (
        sets("queue", MaximumMessageSize="1048576"),
        "queue {dlq} message size",
        "must be at least 2048 bytes more than the event queue's 1048576",
    ),
}

# What one command alone does not remedy, or the emulator does not let it.
NOT_AT_ONCE: dict[str, tuple[Breaking, str, str]] = {
    "keys only": (keys_only, "table {table} stream", "must hold NEW_AND_OLD_IMAGES, holds KEYS_ONLY"),
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


def assert_named(world: World, command: Command, broken: tuple[Breaking, str, str]) -> str:
    """Breaks something, and checks that `check` names it; the remedy that it shows."""
    break_it, subject, text = broken
    break_it(world)
    ran = command("check", "--json", environment=world.environment)
    assert ran.status == 1
    finding = findings(ran.lines)[named(world, subject)]
    assert named(world, text) in finding["text"]
    assert finding["remedy"].startswith(f"aws --region {REGION} --endpoint-url http://127.0.0.1:")
    return finding["remedy"]


@pytest.mark.parametrize("broken", NOT_AT_ONCE.values(), ids=NOT_AT_ONCE)
def test_what_is_broken_is_named_with_a_command(
    world: World, command: Command, broken: tuple[Breaking, str, str]
) -> None:
    assert_named(world, command, broken)


@pytest.mark.slow
@pytest.mark.parametrize("broken", MENDABLE.values(), ids=MENDABLE)
def test_the_command_that_is_shown_corrects_it(
    world: World, command: Command, broken: tuple[Breaking, str, str]
) -> None:
    remedy = assert_named(world, command, broken)
    done = subprocess.run(
        ["sh", "-euc", remedy],
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
    left = findings(command("check", "--json", environment=world.environment).lines)
    assert named(world, broken[1]) not in left


def test_a_broken_thing_is_one_line_that_can_be_copied(world: World, command: Command) -> None:
    world.set_ttl(enabled=False)
    ran = command("check", environment=world.environment)
    (line,) = [line for line in ran.lines if line.startswith("✗")]
    endpoint = world.environment["AWS_ENDPOINT_URL"]
    assert line == (
        f"✗ table {world.table} TTL: off → aws --region us-east-1 --endpoint-url {endpoint} dynamodb"
        f" update-time-to-live --table-name {world.table}"
        " --time-to-live-specification Enabled=true,AttributeName=ttl"
    )
