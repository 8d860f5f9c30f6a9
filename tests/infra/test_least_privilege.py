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
ENTRY = {"Id": "1", "ReceiptHandle": "none"}
MESSAGE = {"Id": "1", "MessageBody": "{}"}
RECORD = {"Data": b"{}", "PartitionKey": "p"}
STATUS_TABLE = {"TableName": "export-status"}
LEASES_TABLE = {"TableName": "export-status-leases"}
AUDIT_STREAM = {"StreamName": "export-audit"}


def records_of(person: Person) -> object:
    """Reads the first shard of the table's stream."""
    streams, arn = person.client("dynamodbstreams"), person.outputs["TableStreamArn"]
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shards[0]["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )
    return streams.get_records(ShardIterator=iterator["ShardIterator"])


TASK_NEEDS: dict[str, Call] = {
    "receive events": lambda p: p.client("sqs").receive_message(QueueUrl=p.events, WaitTimeSeconds=0),
    "delete events": lambda p: p.client("sqs").delete_message_batch(QueueUrl=p.events, Entries=[ENTRY]),
    "delete an event": lambda p: p.client("sqs").delete_message(QueueUrl=p.events, ReceiptHandle="none"),
    "put events back": lambda p: p.client("sqs").change_message_visibility_batch(
        QueueUrl=p.events, Entries=[ENTRY | {"VisibilityTimeout": 0}]
    ),
    "put an event back": lambda p: p.client("sqs").change_message_visibility(
        QueueUrl=p.events, ReceiptHandle="none", VisibilityTimeout=0
    ),
    "read the queue's attributes": lambda p: p.client("sqs").get_queue_attributes(
        QueueUrl=p.events, AttributeNames=["All"]
    ),
    "look at the dead-letter queue": lambda p: p.client("sqs").get_queue_attributes(
        QueueUrl=p.dead_letters, AttributeNames=["QueueArn"]
    ),
    "find the dead-letter queue": lambda p: p.client("sqs").get_queue_url(QueueName="export-events-dlq"),
    "dead-letter an event": lambda p: p.client("sqs").send_message(QueueUrl=p.dead_letters, MessageBody="{}"),
    "dead-letter events": lambda p: p.client("sqs").send_message_batch(
        QueueUrl=p.dead_letters, Entries=[MESSAGE]
    ),
    "update a status": lambda p: p.client("dynamodb").update_item(Key=KEY, **STATUS_TABLE),
    "look statuses up": lambda p: p.client("dynamodb").batch_get_item(
        RequestItems={"export-status": {"Keys": [KEY]}}
    ),
    "describe the table": lambda p: p.client("dynamodb").describe_table(**STATUS_TABLE),
    "write statuses": lambda p: p.client("dynamodb").batch_execute_statement(
        Statements=[{"Statement": 'UPDATE "export-status" SET "status"=\'failed\' WHERE "requestId"=\'r\''}]
    ),
    "find the stream": lambda p: p.client("dynamodbstreams").list_streams(**STATUS_TABLE),
    "list shards": lambda p: p.client("dynamodbstreams").describe_stream(
        StreamArn=p.outputs["TableStreamArn"]
    ),
    "read the stream": records_of,
    "list leases": lambda p: p.client("dynamodb").scan(**LEASES_TABLE),
    "read a lease": lambda p: p.client("dynamodb").get_item(Key=LEASE, **LEASES_TABLE),
    "make a lease": lambda p: p.client("dynamodb").put_item(Item=LEASE, **LEASES_TABLE),
    "hold a lease": lambda p: p.client("dynamodb").update_item(Key=LEASE, **LEASES_TABLE),
    "remove a lease": lambda p: p.client("dynamodb").delete_item(Key=LEASE, **LEASES_TABLE),
    "put audit entries": lambda p: p.client("kinesis").put_records(Records=[RECORD], **AUDIT_STREAM),
    "describe the audit stream": lambda p: p.client("kinesis").describe_stream_summary(**AUDIT_STREAM),
}
TASK_MUST_NOT: dict[str, Call] = {
    "delete an export": lambda p: p.client("dynamodb").delete_item(Key=KEY, **STATUS_TABLE),
    "overwrite an export": lambda p: p.client("dynamodb").put_item(Item=KEY, **STATUS_TABLE),
    "read all exports": lambda p: p.client("dynamodb").scan(**STATUS_TABLE),
    "change the table": lambda p: p.client("dynamodb").update_table(
        DeletionProtectionEnabled=False, **STATUS_TABLE
    ),
    "change the ttl": lambda p: p.client("dynamodb").update_time_to_live(
        TimeToLiveSpecification={"Enabled": False, "AttributeName": "ttl"}, **STATUS_TABLE
    ),
    "delete the leases": lambda p: p.client("dynamodb").delete_table(**LEASES_TABLE),
    "touch another table": lambda p: p.client("dynamodb").update_item(TableName="other", Key=KEY),
    "send events": lambda p: p.client("sqs").send_message(QueueUrl=p.events, MessageBody="{}"),
    "purge events": lambda p: p.client("sqs").purge_queue(QueueUrl=p.events),
    "receive dead letters": lambda p: p.client("sqs").receive_message(QueueUrl=p.dead_letters),
    "delete dead letters": lambda p: p.client("sqs").delete_message(
        QueueUrl=p.dead_letters, ReceiptHandle="none"
    ),
    "delete a queue": lambda p: p.client("sqs").delete_queue(QueueUrl=p.events),
    "make a queue": lambda p: p.client("sqs").create_queue(QueueName="another"),
    "read audit entries": lambda p: p.client("kinesis").list_shards(**AUDIT_STREAM),
    "put into another stream": lambda p: p.client("kinesis").put_records(
        StreamName="other", Records=[RECORD]
    ),
    "make itself stronger": lambda p: p.client("iam").put_user_policy(
        UserName="task", PolicyName="more", PolicyDocument="{}"
    ),
}
# Without `emulator_only` the emulator refuses these whatever the policy allows.
EVER_REFUSED = {
    "delete events",
    "put events back",
    "dead-letter events",
    "write statuses",
    "list shards",
    "read the stream",
}
PUBLISH: Call = lambda p: p.client("sqs").send_message(QueueUrl=p.events, MessageBody="{}")  # noqa: E731
NO_OPERATOR_MAY: dict[str, Call] = {
    "change an export": TASK_NEEDS["update a status"],
    "delete an export": TASK_MUST_NOT["delete an export"],
    "take events away": TASK_NEEDS["receive events"],
    "forge a dead letter": TASK_NEEDS["dead-letter an event"],
    "purge dead letters": lambda p: p.client("sqs").purge_queue(QueueUrl=p.dead_letters),
    "move a lease": TASK_NEEDS["hold a lease"],
    "turn the ttl off": TASK_MUST_NOT["change the ttl"],
    "widen the own rights": TASK_MUST_NOT["make itself stronger"],
}
# What tests/docs/test_runbook.py does with these policies is not repeated here: only what each one refuses.
REFUSED: dict[str, dict[str, Call]] = {
    "look": {
        "forge an event": PUBLISH,
        "forge an audit entry": TASK_NEEDS["put audit entries"],
        "drop a dead letter": TASK_MUST_NOT["delete dead letters"],
        "move dead letters": lambda p: p.client("sqs").start_message_move_task(SourceArn=DEAD_LETTERS),
        **NO_OPERATOR_MAY,
    },
    "redrive": {"forge an audit entry": TASK_NEEDS["put audit entries"], **NO_OPERATOR_MAY},
    "replay": {"forge an event": PUBLISH, **NO_OPERATOR_MAY},
    "probe": {
        "forge an audit entry": TASK_NEEDS["put audit entries"],
        "read dead letters": TASK_MUST_NOT["receive dead letters"],
        "read all exports": TASK_MUST_NOT["read all exports"],
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
def task(account: Account) -> Person:
    return account.bearer("task")


@pytest.fixture(scope="module")
def bearers(account: Account) -> dict[str, Person]:
    return {name: account.bearer(name) for name in REFUSED}


@pytest.mark.parametrize("name", TASK_NEEDS)
def test_the_task_may(task: Person, name: str) -> None:
    assert task.is_allowed(TASK_NEEDS[name])


@pytest.mark.parametrize("name", TASK_MUST_NOT)
def test_the_task_may_not(task: Person, name: str) -> None:
    assert not task.is_allowed(TASK_MUST_NOT[name])


@pytest.mark.parametrize(("who", "what"), [(who, what) for who, calls in REFUSED.items() for what in calls])
def test_a_policy_refuses(bearers: dict[str, Person], who: str, what: str) -> None:
    assert not bearers[who].is_allowed(REFUSED[who][what])


def test_without_a_policy_nothing_is_allowed(account: Account) -> None:
    stranger = account.person("stranger")
    assert not [name for name, call in TASK_NEEDS.items() if stranger.is_allowed(call)]


@pytest.mark.parametrize(
    "left_out",
    [each for each in policy("task", NAMES)["Statement"] if each["Action"] != list(STREAM_ACTIONS)],
    ids=lambda each: each["Sid"],
)
def test_without_any_one_statement_the_task_cannot_work(account: Account, left_out: dict[str, Any]) -> None:
    whole = policy("task", NAMES)
    rest = [statement for statement in whole["Statement"] if statement != left_out]
    poorer = account.person(f"without-{left_out['Sid']}", whole | {"Statement": rest})
    refused = {name for name, call in TASK_NEEDS.items() if not poorer.is_allowed(call)}
    assert refused > EVER_REFUSED


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
    account: Account, task: Person, tmp_path: Path
) -> None:
    sqs, dynamodb, kinesis = (account.root(name) for name in ("sqs", "dynamodb", "kinesis"))
    events, dead_letters = account.outputs["EventsQueueUrl"], account.outputs["DeadLetterQueueUrl"]
    for url in (events, dead_letters):
        sqs.purge_queue(QueueUrl=url)  # what the other tests sent
    environment = isolated_environment() | task.environment
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
        assert root.is_allowed(TASK_NEEDS["describe the table"])
        assert not root.is_allowed(PUBLISH)


def test_without_named_producers_the_queue_s_policy_admits_none(account: Account) -> None:
    answer = account.root("sqs").get_queue_attributes(
        QueueUrl=account.outputs["EventsQueueUrl"], AttributeNames=["Policy"]
    )
    statements = json.loads(answer["Attributes"]["Policy"])["Statement"]
    assert [each["Sid"] for each in statements] == ["DenyInsecureTransport"]
