"""Real calls need exactly the permissions of the policies: none is missing, none unused."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from handlers.export import Export, Status, ttl_of
from handlers.timestamps import format_timestamp
from processor.localaws.embedded_aws import EmbeddedAws
from processor.streams.leases.lease import SHARD_END, lease_key, new_lease, number, to_attributes
from tests.infra.events import event
from tests.infra.iam_account import NAMES
from tests.infra.policies import actions, policy
from tests.infra.recording import Permission, recording_proxy
from tests.resources import (
    ClientFactory,
    drained_messages,
    item_of,
    leases_table,
    status_table,
    stream_arn,
)
from tests.support.commands import finished
from tests.support.service import ServiceProcess
from tests.waiting import eventually

LONG_AGO = "2020-01-01T00:00:00Z"
STREAM = "the table's stream"
LIMIT_SECONDS = 300

pytestmark = [pytest.mark.slow, pytest.mark.dynamodb_local]


def granted(name: str) -> set[Permission]:
    """A policy as pairs of an action and what it is on, in the words of the recording."""
    pairs: set[Permission] = set()
    for arn, allowed in actions(policy(name, NAMES)).items():
        on = STREAM if arn.endswith("/stream/*") else arn.rpartition("/")[2].rpartition(":")[2]
        assert on in {*NAMES.values(), STREAM, "*"}, arn
        pairs |= {(action, on) for action in allowed}
    return pairs


@pytest.fixture(scope="module")
def used(
    dynamodb_local: str, clients: Callable[[str], ClientFactory], tmp_path_factory: pytest.TempPathFactory
) -> set[Permission]:
    """What the service needed, its tables on DynamoDB Local: the embedded AWS answers PartiQL wrongly."""
    at, home = clients(dynamodb_local), tmp_path_factory.mktemp("service")
    table, leases = status_table(at), leases_table(at)
    names = {table: NAMES["TableName"], leases: NAMES["LeasesTableName"]}
    put_finished_lease(at, table, leases)
    with ExitStack() as stack:
        aws = stack.enter_context(EmbeddedAws())
        url, of_others = stack.enter_context(recording_proxy(aws.endpoint_url))
        tables_url, of_tables = stack.enter_context(recording_proxy(dynamodb_local))
        environment = aws.service_environment() | {
            "AWS_ENDPOINT_URL": url,
            "AWS_ENDPOINT_URL_DYNAMODB": tables_url,
            "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": tables_url,
            "DYNAMODB_EXPORT_STATUS_TABLE": table,
            "DYNAMODB_EXPORT_LEASES_TABLE": leases,
            "EXPORT_AUDIT_SINKS": "kinesis,log",
            "EXPORT_WRITE_MODE": "batch",
        }

        def permissions() -> set[Permission]:
            called = of_others.permissions | of_tables.permissions
            return {(action, names.get(on, on)) for action, on in called}

        def send(*events: dict[str, Any]) -> None:
            entries = [
                {"Id": f"{number}", "MessageBody": json.dumps(each)} for number, each in enumerate(events)
            ]
            aws.client("sqs").send_message_batch(QueueUrl=aws.deployment.queue_url, Entries=entries)

        with ServiceProcess(environment, home / "asked", "--only", "transitions") as service:
            service.wait_for("service_started")
            service.stop()  # a poll of a killed task would take the messages that follow
        # The redrive policy names the dead-letter queue.
        del environment["SQS_EXPORT_EVENTS_DLQ_URL"]
        now = format_timestamp(datetime.now(UTC))
        # Together, and before the start: an event by itself takes an UpdateItem.
        send(event("b", "pending"), event("c", "processing", createdAt=now))
        service = stack.enter_context(ServiceProcess(environment, home / "service"))
        eventually(lambda: not service.is_running or item_of(at, table, "c"), LIMIT_SECONDS)
        at("dynamodb").delete_item(TableName=table, Key={"requestId": {"S": "c"}})
        for each in (
            event("a", "pending"),
            event("a", "processing", fileName="a.csv"),
            event("early", "processing"),
            event("late", "completed", createdAt=LONG_AGO) | {"occurredAt": LONG_AGO},
            event("invalid", "unheard-of"),
        ):
            send(each)
        eventually(lambda: not service.is_running or permissions() >= granted("task"), LIMIT_SECONDS)
        assert service.stop()[0] == 0, service.last_words(10**6)
        assert len(drained_messages(aws.client, aws.deployment.dlq_url)) == 1
        return permissions()


def put_finished_lease(at: ClientFactory, table: str, leases: str) -> None:
    """The row of a shard that ended three days ago and that the stream has forgotten: it is removed."""
    arn, then = stream_arn(at, table), time.time() - 72 * 3_600
    lease = new_lease(arn, "shardId-00000000000000000000-old", frozenset(), now=then, tracked_since=then)
    assert lease.key == lease_key(arn, lease.shard_id)
    row = {**to_attributes(lease), "checkpoint": {"S": SHARD_END}, "x_endedAt": number(then)}
    at("dynamodb").put_item(TableName=leases, Item=row)


COMMANDS = {
    "look": (
        *(("get", "present"), ("list",), ("check", "--only", "resources"), ("dlq", "list")),
        *(("audit", "tail"), ("audit", "status")),
    ),
    "redrive": (("publish", "events.jsonl"), ("dlq", "redrive")),
    "replay": (("audit", "replay", "--since", "1h"), ("dlq", "drop", "--all", "--save", "dropped.jsonl")),
    "probe": (("probe", "--within", "5m"),),
}
# The AWS CLI's own commands and `why`: tests/docs/test_runbook.py runs them where IAM is enforced.
OF_OTHER_COMMANDS = {
    ("logs:FilterLogEvents", "*"),
    *((f"ecs:{action}", on) for action, on in (("ListTasks", "*"), ("DescribeServices", "export-status"))),
    ("ecs:DescribeTasks", "*"),
    *((f"sqs:{each}MessageMoveTask", "export-events-dlq") for each in ("Start", "Cancel")),
    ("sqs:ListMessageMoveTasks", "export-events-dlq"),
}


@pytest.fixture(scope="module")
def used_by(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Permission]]:
    """What the commands of each policy need, each run once on something that it can act on."""
    folder = tmp_path_factory.mktemp("operator")
    needed: dict[str, set[Permission]] = {}
    with ExitStack() as stack:
        aws = stack.enter_context(EmbeddedAws())
        stack.enter_context(ServiceProcess(aws.service_environment(), folder / "service"))
        (folder / "events.jsonl").write_text(json.dumps(event("published", "pending")) + "\n")
        for who, commands in COMMANDS.items():
            put_things_for_operators(aws)
            url, recording = stack.enter_context(recording_proxy(aws.endpoint_url))
            environment = aws.service_environment() | {
                "AWS_ENDPOINT_URL": url,
                "EXPORT_AUDIT_SINKS": "kinesis,log",
            }
            del environment["SQS_EXPORT_EVENTS_DLQ_URL"]
            for arguments in commands:
                words = (sys.executable, "-m", "processor", *arguments)
                done = finished(*words, folder=folder, environment=environment)
                assert (arguments, done.returncode) == (arguments, 0), done.stdout + done.stderr
            needed[who] = recording.permissions
    return needed


def put_things_for_operators(aws: EmbeddedAws) -> None:
    """A living export, one that was deleted, and a dead letter that can go back."""
    now = datetime.now(UTC)
    for request_id in ("present", "deleted"):
        item = Export(request_id, Status.PENDING, now, now, ttl_of(now, 900)).to_item()
        aws.client("dynamodb").put_item(TableName="export-status", Item=item)
    aws.client("dynamodb").delete_item(TableName="export-status", Key={"requestId": {"S": "deleted"}})
    aws.client("sqs").send_message(
        QueueUrl=aws.deployment.dlq_url, MessageBody=json.dumps(event("back", "pending"))
    )


def test_the_task_has_the_permissions_that_it_uses_and_no_other(used: set[Permission]) -> None:
    assert granted("task") == used


@pytest.mark.parametrize("who", COMMANDS)
def test_a_policy_has_what_its_commands_use_and_no_more(
    used_by: dict[str, set[Permission]], who: str
) -> None:
    also = granted("look") if who in {"redrive", "replay"} else set()
    assert used_by[who] - granted(who) - also == set()
    assert granted(who) - used_by[who] - OF_OTHER_COMMANDS == set()
