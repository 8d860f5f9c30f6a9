"""Tries the actions of the task's policy where a try does no harm, and judges the answers.

A conditional write whose condition always fails shows that writes are allowed. There is no such try for
receiving a message or putting an audit entry; a finding names these actions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.writes import probe_arguments, probe_statement
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, ConditionFailed, NotFound, Transient, error_for
from processor.cli.check.deployed_state import DeployedState, TableState, ask
from processor.cli.check.finding import Finding, fine, unknown, wrong
from processor.cli.check.target import Target
from processor.cli.check.unread import refused, unread
from processor.settings import Settings
from processor.transitions.status_table import absent_key

UNTRIABLE = (
    *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:SendMessage"),
    *("dynamodb:PartiQLInsert", "kinesis:PutRecords"),
)
"""Actions that no harmless call can try."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One action that was tried.

    Attributes:
        action: IAM's name.
        resource: its name, for people.
        arn: the resource's ARN.
        error: AWS's answer; None if the action was allowed.
    """

    action: str
    resource: str
    arn: str
    error: AwsError | None


def try_permissions(aws: Aws, settings: Settings, state: DeployedState, target: Target) -> list[Trial]:
    """Tries the actions on the existing tables and stream; a missing one has its own finding."""
    trials: list[Trial] = []
    if not isinstance(state.table, NotFound):
        trials += _on_status_table(aws, settings, target.arn("dynamodb", f"table/{settings.table}"))
    if isinstance(state.table, TableState) and "LatestStreamArn" in state.table.description:
        trials += _on_stream(aws, settings.table, str(state.table.description["LatestStreamArn"]))
    if not isinstance(state.leases, NotFound):
        arn = target.arn("dynamodb", f"table/{settings.leases_table}")
        trials += _on_leases(aws, settings.leases_table, arn)
    return trials


def _on_status_table(aws: Aws, settings: Settings, arn: str) -> Iterator[Trial]:
    client, table = aws.dynamodb(), settings.table
    name = f"table {table}"
    update = ask(client.update_item, TableName=table, **probe_arguments(absent_key()))
    yield Trial("dynamodb:UpdateItem", name, arn, _error(update))
    keys = {table: {"Keys": [{"requestId": {"S": absent_key()}}]}}
    get = ask(client.batch_get_item, RequestItems=keys)
    yield Trial("dynamodb:BatchGetItem", name, arn, _error(get))
    if settings.write_mode != "single":
        yield Trial("dynamodb:PartiQLUpdate", name, arn, _batch_error(client.batch_execute_statement, table))


def _batch_error(batch_execute_statement: Callable[..., Any], table: str) -> AwsError | None:
    """The answer to a statement that a correct server refuses with ConditionalCheckFailed."""
    probe = probe_statement(absent_key(), table)
    answer = ask(
        batch_execute_statement, Statements=[{"Statement": probe.text, "Parameters": probe.parameters}]
    )
    if isinstance(answer, AwsError):
        return answer
    code = answer["Responses"][0].get("Error", {}).get("Code", "Success")
    return None if code == "ConditionalCheckFailed" else error_for("BatchExecuteStatement", code)


def _on_stream(aws: Aws, table: str, arn: str) -> Iterator[Trial]:
    client, name = aws.streams(), f"stream of {table}"
    yield Trial("dynamodb:ListStreams", name, "*", _error(ask(client.list_streams, TableName=table, Limit=1)))
    stream = ask(client.describe_stream, "StreamDescription", StreamArn=arn, Limit=1)
    yield Trial("dynamodb:DescribeStream", name, arn, _error(stream))
    if isinstance(stream, AwsError) or not stream.get("Shards"):
        return
    shard = stream["Shards"][0]["ShardId"]
    position = ask(client.get_shard_iterator, StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    yield Trial("dynamodb:GetShardIterator", name, arn, _error(position))
    if not isinstance(position, AwsError):
        records = ask(client.get_records, ShardIterator=position["ShardIterator"], Limit=1)
        yield Trial("dynamodb:GetRecords", name, arn, _error(records))


def _on_leases(aws: Aws, table: str, arn: str) -> Iterator[Trial]:
    client, name = aws.leases(), f"table {table}"
    key = {"leaseKey": {"S": absent_key()}}
    never = {"TableName": table, "ConditionExpression": "attribute_exists(leaseKey)"}
    tries: tuple[tuple[str, Callable[..., Any], dict[str, Any]], ...] = (
        ("PutItem", client.put_item, {"Item": key, **never}),
        ("GetItem", client.get_item, {"TableName": table, "Key": key}),
        (
            "UpdateItem",
            client.update_item,
            {
                "Key": key,
                "UpdateExpression": "SET leaseCounter = :none",
                "ExpressionAttributeValues": {":none": {"N": "0"}},
                **never,
            },
        ),
        ("DeleteItem", client.delete_item, {"Key": key, **never}),
        ("Scan", client.scan, {"TableName": table, "Limit": 1}),
    )
    for action, method, arguments in tries:
        yield Trial(f"dynamodb:{action}", name, arn, _error(ask(method, **arguments)))


def _error(answer: object) -> AwsError | None:
    """The error, if any; a failed condition counts as success."""
    return answer if isinstance(answer, AwsError) and not isinstance(answer, ConditionFailed) else None


def judge_permissions(trials: Sequence[Trial], target: Target) -> Iterator[Finding]:
    """For each resource: what is allowed, what is refused, and what is unknown."""
    for resource in dict.fromkeys(trial.resource for trial in trials):
        of_resource = [trial for trial in trials if trial.resource == resource]
        subject = f"permissions on {resource}"
        allowed = [trial for trial in of_resource if trial.error is None]
        if allowed:
            yield fine(subject, ", ".join(_short(trial) for trial in allowed))
        for arn in dict.fromkeys(trial.arn for trial in of_resource):
            denied = [
                trial
                for trial in of_resource
                if trial.arn == arn and trial.error is not None and refused(trial.error, target, "dynamodb")
            ]
            if denied:
                actions = tuple(trial.action for trial in denied)
                yield wrong(
                    subject,
                    f"{', '.join(_short(trial) for trial in denied)} refused ({denied[0].error})",
                    target.allow(actions, arn),
                )
        for trial in of_resource:
            if trial.error is not None and not refused(trial.error, target, "dynamodb"):
                yield _untried(subject, trial, trial.error, target)
    yield unknown("permissions", f"not tried, because a try would do harm: {', '.join(UNTRIABLE)}")


def _untried(subject: str, trial: Trial, error: AwsError, target: Target) -> Finding:
    if isinstance(error, Transient):
        return unread(subject, error, target, trial.action, trial.arn)
    return unknown(subject, f"{_short(trial)} could not be tried ({error})")


def _short(trial: Trial) -> str:
    return trial.action.partition(":")[2]
