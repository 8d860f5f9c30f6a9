"""The permissions of infra/iam, where an emulator enforces IAM: what is needed passes, no more.

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

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
    iam_account,
)
from tests.infra.policies import policy
from tests.support.service import ServiceProcess
from tests.waiting import eventually

SQS_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table"
KINESIS_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream"
ECS, OWN = f"arn:aws:ecs:{REGION}:{ACCOUNT_ID}:", "export-status/export-status"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:"
EVENTS, LETTERS = f"{SQS_ARN}:export-events", f"{SQS_ARN}:export-events-dlq"
STATUS, LEASES = f"{TABLE_ARN}/export-status", f"{TABLE_ARN}/export-status-leases"
STREAM, OTHER_STREAM = (f"{table}/stream/2026-11-22T10:00:00.000" for table in (STATUS, LEASES))
AUDIT, OTHER_AUDIT = f"{KINESIS_ARN}/export-audit", f"{KINESIS_ARN}/other"

ALLOWED = [
    ("task", ("sqs:DeleteMessage", "sqs:ChangeMessageVisibility"), EVENTS, LETTERS),
    ("task", ("sqs:SendMessage",), LETTERS, EVENTS),
    ("redrive", ("sqs:SendMessage",), EVENTS, LETTERS),
    ("redrive", ("sqs:StartMessageMoveTask", "sqs:DeleteMessage"), LETTERS, EVENTS),
    ("replay", ("sqs:DeleteMessage",), LETTERS, EVENTS),
    ("look", ("kinesis:GetRecords",), AUDIT, OTHER_AUDIT),
    ("look", ("logs:FilterLogEvents",), f"{LOGS}/ecs/export-status:*", f"{LOGS}/ecs/another:*"),
    ("look", ("ecs:DescribeServices",), f"{ECS}service/{OWN}", f"{ECS}service/another/another"),
    ("look", ("ecs:DescribeTasks",), f"{ECS}task/export-status/1", f"{ECS}task/another/1"),
    ("task", STREAM_ACTIONS, STREAM, OTHER_STREAM),
    ("look", STREAM_ACTIONS[:1], STREAM, OTHER_STREAM),
    ("replay", STREAM_ACTIONS[1:], STREAM, OTHER_STREAM),
    ("task", ("dynamodb:PartiQLInsert", "dynamodb:PartiQLUpdate"), STATUS, LEASES),
]
"""Whose policy allows which actions on what, and not on what else."""

Refusal = tuple[tuple[str, ...], str]
REFUSED_TO_ALL: list[Refusal] = [
    (("dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:PartiQLSelect", "dynamodb:PartiQLDelete"), STATUS),
    (("dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive"), STATUS),
    (("dynamodb:UpdateItem",), f"{TABLE_ARN}/other"),
    (("sqs:PurgeQueue", "sqs:CreateQueue"), EVENTS),
    (("sqs:PurgeQueue",), LETTERS),
    (("kinesis:PutRecords", "kinesis:PutRecord"), OTHER_AUDIT),
    (("iam:PutUserPolicy",), "*"),
]
REFUSED_TO_OPERATORS: list[Refusal] = [
    (("dynamodb:UpdateItem", "dynamodb:PartiQLUpdate"), STATUS),
    (("dynamodb:UpdateItem",), LEASES),
    (("sqs:ReceiveMessage",), EVENTS),
    (("sqs:SendMessage",), LETTERS),
]
FORGE_EVENT, FORGE_ENTRY = (("sqs:SendMessage",), EVENTS), (("kinesis:PutRecords",), AUDIT)
DROP_LETTER, READ_LETTER = (("sqs:DeleteMessage",), LETTERS), (("sqs:ReceiveMessage",), LETTERS)
READ_ALL = (("dynamodb:Scan",), STATUS)
REFUSED: dict[str, list[Refusal]] = {
    "task": [FORGE_EVENT, READ_ALL, READ_LETTER, DROP_LETTER, (("kinesis:ListShards",), AUDIT)],
    "look": [
        *(FORGE_EVENT, FORGE_ENTRY, DROP_LETTER, (("sqs:StartMessageMoveTask",), LETTERS)),
        *REFUSED_TO_OPERATORS,
    ],
    "redrive": [FORGE_ENTRY, *REFUSED_TO_OPERATORS],
    "replay": [FORGE_EVENT, *REFUSED_TO_OPERATORS],
    "probe": [FORGE_ENTRY, READ_LETTER, READ_ALL, *REFUSED_TO_OPERATORS],
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with iam_account(tmp_path_factory.mktemp("iam")) as running:
        yield running


def decisions(account: Account, who: str, actions: Sequence[str], resource: str) -> set[str]:
    """The policy simulator compares ARNs as AWS does; it is asked about the actions that AWS asks for."""
    answer = account.root("iam").simulate_custom_policy(
        PolicyInputList=[json.dumps(policy(who, NAMES))],
        ActionNames=list(actions),
        ResourceArns=[resource],
    )
    return {result["EvalDecision"] for result in answer["EvaluationResults"]}


@pytest.mark.parametrize(("who", "actions", "on", "not_on"), ALLOWED)
def test_a_policy_allows_an_action_on_its_resource_alone(
    account: Account, who: str, actions: Sequence[str], on: str, not_on: str
) -> None:
    assert decisions(account, who, actions, on) == {"allowed"}
    assert decisions(account, who, actions, not_on) == {"implicitDeny"}


@pytest.mark.parametrize("who", REFUSED)
def test_a_policy_refuses_what_is_not_its_work(account: Account, who: str) -> None:
    for actions, resource in (*REFUSED[who], *REFUSED_TO_ALL):
        assert decisions(account, who, actions, resource) == {"implicitDeny"}, (actions, resource)


def test_who_only_looks_can_forge_neither_an_event_nor_an_entry(account: Account) -> None:
    client = account.bearer("look").client
    record = {"Data": b"{}", "PartitionKey": "p"}
    client("dynamodb").describe_table(TableName="export-status")
    with pytest.raises(ClientError, match="AccessDenied"):
        client("sqs").send_message(QueueUrl=account.outputs["EventsQueueUrl"], MessageBody="{}")
    with pytest.raises(ClientError, match="AccessDenied"):
        client("kinesis").put_records(StreamName="export-audit", Records=[record])


@pytest.mark.slow
def test_the_service_does_its_work_with_the_task_s_permissions(account: Account, tmp_path: Path) -> None:
    sqs, dynamodb = (account.root(name) for name in ("sqs", "dynamodb"))
    events, dead_letters = account.outputs["EventsQueueUrl"], account.outputs["DeadLetterQueueUrl"]
    environment = isolated_environment() | account.bearer("task").environment
    environment |= {
        "SQS_EXPORT_EVENTS_QUEUE_URL": events,
        "EXPORT_AUDIT_SINKS": "kinesis,log",
        "KINESIS_EXPORT_AUDIT_STREAM": "export-audit",
        "EXPORT_WRITE_MODE": "single",
    }
    key: dict[str, Any] = {"TableName": "export-status", "Key": {"requestId": {"S": "x"}}}

    def is_processing() -> bool:
        item: dict[str, Any] = dynamodb.get_item(**key).get("Item", {})
        return item.get("status") == {"S": "processing"}

    with ServiceProcess(environment, tmp_path) as service:
        for each in (event("x", "pending"), event("x", "processing"), event("y", "unheard-of")):
            sqs.send_message(QueueUrl=events, MessageBody=json.dumps(each))
        eventually(lambda: not service.is_running or is_processing(), 180)
        dynamodb.delete_item(**key)
        [audited] = eventually(lambda: service.lines("audit"), 180)
        assert audited["action"] == "export.deleted"
        assert service.stop()[0] == 0, service.last_words(10**6)
    [dead_letter] = sqs.receive_message(QueueUrl=dead_letters, WaitTimeSeconds=0)["Messages"]
    assert json.loads(dead_letter["Body"])["requestId"] == "y"
    assert "AccessDenied" not in service.last_words(10**6)


def test_plain_http_is_refused_even_to_the_account_s_root() -> None:
    with Ministack(auth=True).require() as server:
        client: Any = boto3.Session(ROOT_KEY, ROOT_KEY, region_name=REGION).client
        client("cloudformation", endpoint_url=server.endpoint_url).create_stack(
            StackName="data", TemplateBody=Path(INFRA, "data.yaml").read_text()
        )
        client("dynamodb", endpoint_url=server.endpoint_url).describe_table(TableName="export-status")
        for queue in ("export-events", "export-events-dlq"):
            with pytest.raises(ClientError, match="AccessDenied"):
                client("sqs", endpoint_url=server.endpoint_url).send_message(
                    QueueUrl=f"{server.endpoint_url}/{ACCOUNT_ID}/{queue}", MessageBody="{}"
                )
