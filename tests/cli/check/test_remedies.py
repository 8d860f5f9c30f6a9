"""`check` reports each fault, and its command corrects it."""

import json
import subprocess
from collections.abc import Callable

import pytest

from processor.localaws.clients import REGION
from tests.cli.check.world import World, findings, named
from tests.cli.conftest import Command
from tests.infra.tool_venvs import commands_of
from tests.resources import (
    queue_pair,
)

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
    "visibility of the TTL": (
        lambda w: w.set_queue(w.queue_url, VisibilityTimeout="900"),
        "queue {queue} visibility timeout",
        "must be below the TTL of 900 s, is 900 s: the messages of a killed task come back expired",
    ),
    "long visibility": (
        lambda w: w.set_queue(w.queue_url, VisibilityTimeout="301"),
        "queue {queue} visibility timeout",
        "should be at most a third of the TTL of 900 s, is 301 s",
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
        "must be 2048 bytes more than the event queue's 262144, is 262144",
    ),
    "no room to grow": (
        lambda w: w.set_queue(w.queue_url, MaximumMessageSize="1048576"),
        "queue {dlq} message size",
        "must be 2048 bytes more than the event queue's 1048576, is 1048576",
    ),
    "audit stream missing": (
        delete_audit_stream,
        "audit stream {audit}",
        "does not exist in this region and account",
    ),
}

# What one command alone does not remedy, or the emulator does not let it.
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


@pytest.mark.parametrize("broken", [*MENDABLE, *NOT_AT_ONCE])
def test_what_is_broken_is_named_and_the_exit_status_is_1(
    world: World, command: Command, broken: str
) -> None:
    break_it, subject, text = (MENDABLE | NOT_AT_ONCE)[broken]
    break_it(world)
    ran = command("check", "--json", environment=world.environment)
    assert ran.status == 1
    finding = findings(ran.lines)[named(world, subject)]
    assert named(world, text) in finding["text"]
    assert finding["remedy"].startswith(f"aws --region {REGION} --endpoint-url http://127.0.0.1:")


@pytest.mark.slow
@pytest.mark.parametrize("broken", MENDABLE)
def test_the_command_that_is_shown_corrects_it(world: World, command: Command, broken: str) -> None:
    break_it, subject, _ = MENDABLE[broken]
    break_it(world)
    remedy = findings(command("check", "--json", environment=world.environment).lines)[named(world, subject)][
        "remedy"
    ]
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
    assert named(world, subject) not in findings(
        command("check", "--json", environment=world.environment).lines
    )


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
