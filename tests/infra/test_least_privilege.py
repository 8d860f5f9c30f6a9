"""The permissions of infra/iam, enforced by an emulator that evaluates IAM: what is needed passes, no more.

Four things ministack 1.5.33 does not do as AWS does. `EMULATOR_ONLY` lets them pass in the runs, and the
policy simulator is asked about them instead:

1. It asks for `sqs:DeleteMessageBatch` and its like, which are no actions of AWS: the batch calls come under
   the single ones.
2. It takes a call that names no stream, but its ARN or an iterator, to be about `*`, so that the ARN of a
   policy never matches: all of DynamoDB Streams, and GetRecords of Kinesis.
3. It asks for FilterLogEvents on the log group's ARN without the `:*` that AWS puts there, and for what is
   read of ECS on `*`.
4. It asks for `dynamodb:BatchExecuteStatement` on `*` where AWS asks for `PartiQLInsert` and `PartiQLUpdate`
   on the table.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from processor.localaws.embedded_aws import isolated_environment
from tests.engines.ministack import ROOT_KEY, Ministack
from tests.infra.cloudformation import INFRA
from tests.infra.events import event
from tests.infra.iam_account import (
    ACCOUNT_ID,
    NAMES,
    REGION,
    STREAM_ACTIONS,
    Account,
    Call,
    Person,
    iam_account,
    require_ministack,
)
from tests.infra.policies import policy
from tests.support.service import ServiceProcess
from tests.waiting import eventually

SQS_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table"
KINESIS_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream"
EVENTS, DEAD_LETTERS = f"{SQS_ARN}:export-events", f"{SQS_ARN}:export-events-dlq"
STATUS, LEASES = f"{TABLE_ARN}/export-status", f"{TABLE_ARN}/export-status-leases"

KEY = {"requestId": {"S": "r"}}
LEASE = {"leaseKey": {"S": "l"}}
RECORD = {"Data": b"{}", "PartitionKey": "p"}
STATUS_TABLE = {"TableName": "export-status"}
LEASES_TABLE = {"TableName": "export-status-leases"}
AUDIT_STREAM = {"StreamName": "export-audit"}


PUBLISH: Call = lambda p: p.client("sqs").send_message(QueueUrl=p.events, MessageBody="{}")  # noqa: E731
RECEIVE: Call = lambda p: p.client("sqs").receive_message(QueueUrl=p.events, WaitTimeSeconds=0)  # noqa: E731
PUT_ENTRY: Call = lambda p: p.client("kinesis").put_records(Records=[RECORD], **AUDIT_STREAM)  # noqa: E731
SCAN: Call = lambda p: p.client("dynamodb").scan(**STATUS_TABLE)  # noqa: E731
DESCRIBE: Call = lambda p: p.client("dynamodb").describe_table(**STATUS_TABLE)  # noqa: E731
RECEIVE_LETTER: Call = lambda p: p.client("sqs").receive_message(QueueUrl=p.dead_letters)  # noqa: E731
DROP: Call = lambda p: p.client("sqs").delete_message(QueueUrl=p.dead_letters, ReceiptHandle="none")  # noqa: E731
FORBIDDEN_TO_ALL: dict[str, Call] = {
    "delete an export": lambda p: p.client("dynamodb").delete_item(Key=KEY, **STATUS_TABLE),
    "overwrite an export": lambda p: p.client("dynamodb").put_item(Item=KEY, **STATUS_TABLE),
    "change the table": lambda p: p.client("dynamodb").update_table(
        DeletionProtectionEnabled=False, **STATUS_TABLE
    ),
    "change the ttl": lambda p: p.client("dynamodb").update_time_to_live(
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}, **STATUS_TABLE
    ),
    "touch another table": lambda p: p.client("dynamodb").update_item(TableName="other", Key=KEY),
    "purge events": lambda p: p.client("sqs").purge_queue(QueueUrl=p.events),
    "purge dead letters": lambda p: p.client("sqs").purge_queue(QueueUrl=p.dead_letters),
    "make a queue": lambda p: p.client("sqs").create_queue(QueueName="another"),
    "put into another stream": lambda p: p.client("kinesis").put_records(
        StreamName="other", Records=[RECORD]
    ),
    "widen the own rights": lambda p: p.client("iam").put_user_policy(
        UserName="task", PolicyName="more", PolicyDocument="{}"
    ),
}
NO_OPERATOR_MAY: dict[str, Call] = {
    "change an export": lambda p: p.client("dynamodb").update_item(Key=KEY, **STATUS_TABLE),
    "take events away": RECEIVE,
    "forge a dead letter": lambda p: p.client("sqs").send_message(QueueUrl=p.dead_letters, MessageBody="{}"),
    "move a lease": lambda p: p.client("dynamodb").update_item(Key=LEASE, **LEASES_TABLE),
    **FORBIDDEN_TO_ALL,
}
# What each policy refuses. The runbook's commands (tests/docs/test_runbook.py), the service at work below and
# test_used_permissions.py prove what is needed.
REFUSED: dict[str, dict[str, Call]] = {
    "task": {
        "send events": PUBLISH,
        "read all exports": SCAN,
        "receive dead letters": RECEIVE_LETTER,
        "delete dead letters": DROP,
        "read audit entries": lambda p: p.client("kinesis").list_shards(**AUDIT_STREAM),
        **FORBIDDEN_TO_ALL,
    },
    "look": {
        "forge an event": PUBLISH,
        "forge an audit entry": PUT_ENTRY,
        "drop a dead letter": DROP,
        "move dead letters": lambda p: p.client("sqs").start_message_move_task(SourceArn=DEAD_LETTERS),
        **NO_OPERATOR_MAY,
    },
    "redrive": {"forge an audit entry": PUT_ENTRY, **NO_OPERATOR_MAY},
    "replay": {"forge an event": PUBLISH, **NO_OPERATOR_MAY},
    "probe": {
        "forge an audit entry": PUT_ENTRY,
        "read dead letters": RECEIVE_LETTER,
        "read all exports": SCAN,
        **NO_OPERATOR_MAY,
    },
}


def records_in(kinesis: Any) -> list[bytes]:
    """The data of every record of the audit stream."""
    found: list[bytes] = []
    for shard in kinesis.list_shards(**AUDIT_STREAM)["Shards"]:
        iterator = kinesis.get_shard_iterator(
            ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON", **AUDIT_STREAM
        )
        found += [
            each["Data"] for each in kinesis.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
        ]
    return found


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with iam_account(tmp_path_factory.mktemp("iam")) as running:
        yield running


@pytest.fixture(scope="module")
def bearers(account: Account) -> dict[str, Person]:
    return {name: account.bearer(name) for name in REFUSED}


@pytest.mark.parametrize(("who", "what"), [(who, what) for who, calls in REFUSED.items() for what in calls])
def test_a_policy_refuses(bearers: dict[str, Person], who: str, what: str) -> None:
    assert not bearers[who].is_allowed(REFUSED[who][what])


def test_without_a_policy_nothing_is_allowed(account: Account) -> None:
    stranger = account.person("stranger")
    assert not [call for call in (PUBLISH, RECEIVE, PUT_ENTRY, SCAN, DESCRIBE) if stranger.is_allowed(call)]


STREAM = f"{STATUS}/stream/2026-11-22T10:00:00.000"
OTHER_STREAM = f"{LEASES}/stream/2026-11-22T10:00:00.000"
AUDIT, OTHER_AUDIT = f"{KINESIS_ARN}/export-audit", f"{KINESIS_ARN}/other"
PARTIQL_WRITES = ("dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate")
PARTIQL_OTHERS = ("dynamodb:PartiQLSelect", "dynamodb:PartiQLDelete")
FILTER = ("logs:FilterLogEvents",)
ECS, OWN = f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:", "export-status/export-status"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:"


@pytest.mark.parametrize(
    ("who", "actions", "allowed", "refused"),
    [
        ("task", ("sqs:DeleteMessage", "sqs:ChangeMessageVisibility"), EVENTS, DEAD_LETTERS),
        ("task", ("sqs:SendMessage",), DEAD_LETTERS, EVENTS),
        ("redrive", ("sqs:SendMessage",), EVENTS, DEAD_LETTERS),
        ("redrive", ("sqs:StartMessageMoveTask", "sqs:DeleteMessage"), DEAD_LETTERS, EVENTS),
        ("replay", ("sqs:DeleteMessage",), DEAD_LETTERS, EVENTS),
        ("look", ("kinesis:GetRecords",), AUDIT, OTHER_AUDIT),
        ("look", FILTER, f"{LOGS}/ecs/export-status:*", f"{LOGS}/ecs/another:*"),
        ("look", ("ecs:DescribeServices",), f"{ECS}service/{OWN}", f"{ECS}service/another/another"),
        ("look", ("ecs:DescribeTasks",), f"{ECS}task/export-status/1", f"{ECS}task/another/1"),
        ("task", STREAM_ACTIONS, STREAM, OTHER_STREAM),
        ("look", STREAM_ACTIONS[:1], STREAM, OTHER_STREAM),
        ("replay", STREAM_ACTIONS[1:], STREAM, OTHER_STREAM),
        ("task", PARTIQL_WRITES, STATUS, LEASES),
        ("task", PARTIQL_OTHERS, "", STATUS),
    ],
)
def test_the_policy_simulator_allows_where_the_emulator_asks_for_other_actions(
    account: Account, who: str, actions: tuple[str, ...], allowed: str, refused: str
) -> None:
    """The simulator compares ARNs as AWS does; it is asked about the actions that AWS asks for."""

    def decisions(resource: str) -> set[str]:
        answer = account.root("iam").simulate_custom_policy(
            PolicyInputList=[json.dumps(policy(who, NAMES))],
            ActionNames=list(actions),
            ResourceArns=[resource],
        )
        return {result["EvalDecision"] for result in answer["EvaluationResults"]}

    assert not allowed or decisions(allowed) == {"allowed"}
    assert decisions(refused) == {"implicitDeny"}


@pytest.mark.slow
def test_the_service_does_its_work_with_the_task_s_permissions(
    account: Account, bearers: dict[str, Person], tmp_path: Path
) -> None:
    sqs, dynamodb, kinesis = (account.root(name) for name in ("sqs", "dynamodb", "kinesis"))
    events, dead_letters = account.outputs["EventsQueueUrl"], account.outputs["DeadLetterQueueUrl"]
    for url in (events, dead_letters):
        sqs.purge_queue(QueueUrl=url)  # what the other tests sent
    environment = isolated_environment() | bearers["task"].environment
    environment |= {
        "SQS_EXPORT_EVENTS_QUEUE_URL": events,
        "EXPORT_AUDIT_SINKS": "kinesis,log",
        "KINESIS_EXPORT_AUDIT_STREAM": "export-audit",
        "EXPORT_WRITE_MODE": "single",
    }

    def status() -> str | None:
        item = dynamodb.get_item(Key={"requestId": {"S": "x"}}, **STATUS_TABLE).get("Item", {})
        found: str | None = item.get("status", {}).get("S")
        return found

    with ServiceProcess(environment, tmp_path) as service:
        for each in (event("x", "pending"), event("x", "processing"), event("y", "unheard-of")):
            sqs.send_message(QueueUrl=events, MessageBody=json.dumps(each))
        eventually(lambda: not service.is_running or status() == "processing", 60)
        dynamodb.delete_item(Key={"requestId": {"S": "x"}}, **STATUS_TABLE)
        eventually(lambda: not service.is_running or '"auditId"' in service.last_words(10**6), 60)
        assert service.stop()[0] == 0, service.last_words(10**6)
        [dead_letter] = sqs.receive_message(QueueUrl=dead_letters, WaitTimeSeconds=0)["Messages"]
        assert json.loads(dead_letter["Body"])["requestId"] == "y"
        assert any(b"export.deleted" in data for data in records_in(kinesis))
        assert "AccessDenied" not in service.last_words(10**6)


def test_plain_http_is_refused_even_to_the_account_s_root() -> None:
    require_ministack()
    with Ministack(auth=True) as server:
        client: Any = boto3.client
        arguments = {
            "endpoint_url": server.endpoint_url,
            "region_name": REGION,
            "aws_access_key_id": ROOT_KEY,
            "aws_secret_access_key": ROOT_KEY,
            "config": Config(retries={"total_max_attempts": 1}),
        }
        client("cloudformation", **arguments).create_stack(
            StackName="data", TemplateBody=Path(INFRA, "data.yaml").read_text()
        )
        root = Person(
            lambda service: client(service, **arguments),
            {"EventsQueueUrl": f"{server.endpoint_url}/{ACCOUNT_ID}/export-events"},
            environment={},
        )
        assert root.is_allowed(DESCRIBE)
        assert not root.is_allowed(PUBLISH)


def test_without_named_producers_the_queue_s_policy_admits_none(account: Account) -> None:
    answer = account.root("sqs").get_queue_attributes(
        QueueUrl=account.outputs["EventsQueueUrl"], AttributeNames=["Policy"]
    )
    statements = json.loads(answer["Attributes"]["Policy"])["Statement"]
    assert [each["Sid"] for each in statements] == ["DenyInsecureTransport"]
