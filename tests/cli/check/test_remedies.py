"""`check` reports each fault, and its command corrects it."""

import json
import subprocess
from collections.abc import Callable

import pytest

from processor.localaws.clients import REGION
from tests.cli.check.world import World, findings, named
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


def redrive_elsewhere(world: World) -> str:
    _, other = queue_pair(world.clients)
    redrive(world, other, 60)
    return other.rpartition("/")[2]


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
MENDABLE: dict[str, tuple[Breaking, str]] = {
    "TTL off": (lambda w: w.set_ttl(enabled=False), "off"),
    "stream off": (lambda w: w.recreate_table(w.table, "requestId"), "off, so that nothing is audited"),
    "provisioned": (provisioned, "must be on demand, is PROVISIONED"),
    "no backups": (pitr_off, "off"),
    "table missing": (lambda w: w.clients("dynamodb").delete_table(TableName=w.table), NOT_THERE),
    "leases table missing": (lambda w: w.clients("dynamodb").delete_table(TableName=w.leases), NOT_THERE),
    "queue missing": (lambda w: w.clients("sqs").delete_queue(QueueUrl=w.queue_url), NOT_THERE),
    "dead-letter queue missing": (lambda w: w.clients("sqs").delete_queue(QueueUrl=w.dlq_url), NOT_THERE),
    "audit stream missing": (delete_audit_stream, NOT_THERE),
    **{
        f"visibility {seconds}": (sets("queue", VisibilityTimeout=seconds), text)
        for seconds, text in (
            ("29", "must be at least 30 s for a batch to be settled in, is 29 s"),
            ("301", "should be at most a third of the TTL of 900 s, is 301 s"),
            (
                "900",
                "must be below the TTL of 900 s, is 900 s: the messages of a killed task",
            ),
        )
    },
    "no redrive": (
        sets("queue", RedrivePolicy=""),
        "missing, must lead to {dlq}, the SQS_EXPORT_EVENTS_DLQ_URL",
    ),
    "no redrive, no setting": (no_dlq_at_all, "missing"),
    "redrive elsewhere": (redrive_elsewhere, "leads to {other}, must lead to {dlq}"),
    "few receives": (
        lambda w: redrive(w, w.dlq_url, 44),
        "maxReceiveCount 44: an early event waits 1171 s at least, which must be more than the TTL of 900 s",
    ),
    **{
        f"{queue} {attribute} {value}": (
            sets(queue, **{attribute: value}),
            f"must be at least {more} more than the event queue's {limit}",
        )
        for queue, attribute, value, more, limit in (
            ("dlq", "MessageRetentionPeriod", "345600", "1 s", 345_600),
            ("queue", "MessageRetentionPeriod", "1209600", "1 s", 1_209_600),
            ("dlq", "MaximumMessageSize", "262144", "2048 bytes", 262_144),
            ("queue", "MaximumMessageSize", "1048576", "2048 bytes", 1_048_576),
        )
    },
}
"""How to break a thing, and what `check` says about it."""

# What one command alone does not remedy, or the emulator does not let it.
NOT_AT_ONCE: dict[str, tuple[Breaking, str]] = {
    "keys only": (keys_only, "must hold NEW_AND_OLD_IMAGES, holds KEYS_ONLY"),
    "TTL on another attribute": (other_ttl, "must be on attribute ttl, is on updatedAt"),
    "wrong key": (lambda w: w.recreate_table(w.table, "id"), "must be requestId (S) alone, is id (S)"),
    "wrong key type": (
        lambda w: w.recreate_table(w.table, "requestId", "N"),
        "must be requestId (S) alone, is requestId (N)",
    ),
    "wrong lease key": (
        lambda w: w.recreate_table(w.leases, "key"),
        "must be leaseKey (S) alone, is key (S)",
    ),
}


def named_finding(world: World, broken: tuple[Breaking, str]) -> dict[str, str]:
    """Breaks something; the finding of `check` about it."""
    break_it, text = broken
    other = break_it(world)
    ran = world.check("--json")
    assert ran.status == 1
    wanted = named(world, text, other=other)
    [finding] = [each for each in findings(ran.lines).values() if each["text"].startswith(wanted)]
    assert finding["remedy"].startswith(f"aws --region {REGION} --endpoint-url http://127.0.0.1:")
    return finding


@pytest.mark.parametrize("broken", NOT_AT_ONCE.values(), ids=NOT_AT_ONCE)
def test_what_is_broken_is_named_with_a_command(world: World, broken: tuple[Breaking, str]) -> None:
    named_finding(world, broken)


@pytest.mark.slow
@pytest.mark.parametrize("broken", MENDABLE.values(), ids=MENDABLE)
def test_the_command_that_is_shown_corrects_it(world: World, broken: tuple[Breaking, str]) -> None:
    finding = named_finding(world, broken)
    keys = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
    done = subprocess.run(
        ["sh", "-euc", finding["remedy"]],
        env={"PATH": f"{commands_of('awscli')}:/usr/bin:/bin", **keys},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    left = findings(world.check("--json").lines)
    assert finding["subject"] not in left


def test_a_broken_thing_is_one_line_that_can_be_copied(world: World) -> None:
    world.set_ttl(enabled=False)
    ran = world.check()
    (line,) = [line for line in ran.lines if line.startswith("✗")]
    endpoint = world.environment["AWS_ENDPOINT_URL"]
    assert line == (
        f"✗ table {world.table} TTL: off → aws --region us-east-1 --endpoint-url {endpoint} dynamodb"
        f" update-time-to-live --table-name {world.table}"
        " --time-to-live-specification Enabled=true,AttributeName=ttl"
    )
