"""Tries the actions of the task's policy where a try does no harm, and judges the answers.

A conditional write whose condition always fails shows that writes are allowed. There is no such try for
receiving a message or putting an audit entry; a finding names these actions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from handlers.writes import probe_arguments, probe_statement
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, ConditionFailed, NotFound, Transient, error_for
from processor.cli.check.deployed_state import DeployedState, ask
from processor.cli.check.finding import Finding, fine, refused, unknown, unread, wrong
from processor.cli.check.target import Target
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

    @property
    def name(self) -> str:
        """The action without its service."""
        return self.action.partition(":")[2]


def try_permissions(aws: Aws, settings: Settings, state: DeployedState, target: Target) -> list[Trial]:
    """Tries the actions on the existing tables and stream; a missing one has its own finding."""
    trials: list[Trial] = []
    if not isinstance(state.table, NotFound):
        arn = target.arn("dynamodb", f"table/{settings.table}")
        trials += _on_status_table(aws, settings, partial(_trial, f"table {settings.table}", arn))
    if not isinstance(state.table, AwsError) and "LatestStreamArn" in state.table:
        trials += _on_stream(aws, settings.table, str(state.table["LatestStreamArn"]))
    if not isinstance(state.leases, NotFound):
        name = settings.leases_table
        arn = target.arn("dynamodb", f"table/{name}")
        trials += _on_leases(aws, name, partial(_trial, f"table {name}", arn))
    return trials


def _trial(resource: str, arn: str, action: str, method: Callable[..., Any], **arguments: Any) -> Trial:
    return Trial(f"dynamodb:{action}", resource, arn, _error(ask(method, **arguments)))


def _on_status_table(aws: Aws, settings: Settings, trial: Callable[..., Trial]) -> Iterator[Trial]:
    client, table = aws.dynamodb(), settings.table
    yield trial("UpdateItem", client.update_item, TableName=table, **probe_arguments(absent_key()))
    keys = {table: {"Keys": [{"requestId": {"S": absent_key()}}]}}
    found = trial("BatchGetItem", client.batch_get_item, RequestItems=keys)
    yield found
    if settings.write_mode != "single":
        error = _batch_error(client.batch_execute_statement, table)
        yield replace(found, action="dynamodb:PartiQLUpdate", error=error)


def _batch_error(batch_execute_statement: Callable[..., Any], table: str) -> AwsError | None:
    """The answer to a statement that a correct server refuses with ConditionalCheckFailed."""
    probe = probe_statement(absent_key(), table)
    statement = {"Statement": probe.text, "Parameters": probe.parameters}
    answer = ask(batch_execute_statement, Statements=[statement])
    if isinstance(answer, AwsError):
        return answer
    code = answer["Responses"][0].get("Error", {}).get("Code", "Success")
    return None if code == "ConditionalCheckFailed" else error_for("BatchExecuteStatement", code)


def _on_stream(aws: Aws, table: str, arn: str) -> Iterator[Trial]:
    client, name = aws.streams(), f"stream of {table}"
    yield _trial(name, "*", "ListStreams", client.list_streams, TableName=table, Limit=1)
    stream = ask(client.describe_stream, "StreamDescription", StreamArn=arn, Limit=1)
    yield Trial("dynamodb:DescribeStream", name, arn, _error(stream))
    if isinstance(stream, AwsError) or not stream.get("Shards"):
        return
    shard = stream["Shards"][0]["ShardId"]
    position = ask(client.get_shard_iterator, StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    yield Trial("dynamodb:GetShardIterator", name, arn, _error(position))
    if not isinstance(position, AwsError):
        iterator = position["ShardIterator"]
        yield _trial(name, arn, "GetRecords", client.get_records, ShardIterator=iterator, Limit=1)


def _on_leases(aws: Aws, table: str, trial: Callable[..., Trial]) -> Iterator[Trial]:
    client, key = aws.leases(), {"leaseKey": {"S": absent_key()}}
    never = {"TableName": table, "ConditionExpression": "attribute_exists(leaseKey)"}
    yield trial("PutItem", client.put_item, Item=key, **never)
    yield trial("GetItem", client.get_item, TableName=table, Key=key)
    change = {
        "UpdateExpression": "SET leaseCounter = :none",
        "ExpressionAttributeValues": {":none": {"N": "0"}},
    }
    yield trial("UpdateItem", client.update_item, Key=key, **change, **never)
    yield trial("DeleteItem", client.delete_item, Key=key, **never)
    yield trial("Scan", client.scan, TableName=table, Limit=1)


def _error(answer: object) -> AwsError | None:
    """The error, if any; a failed condition counts as success."""
    return answer if isinstance(answer, AwsError) and not isinstance(answer, ConditionFailed) else None


def judge_permissions(trials: Sequence[Trial], target: Target) -> Iterator[Finding]:
    """For each resource: what is allowed, what is refused, and what is unknown."""
    for resource in dict.fromkeys(trial.resource for trial in trials):
        subject = f"permissions on {resource}"
        allowed: list[str] = []
        denied: dict[str, list[Trial]] = {}
        others: list[Finding] = []
        for trial in trials:
            if trial.resource != resource:
                continue
            if trial.error is None:
                allowed.append(trial.name)
            elif refused(trial.error, target, "dynamodb"):
                denied.setdefault(trial.arn, []).append(trial)
            elif isinstance(trial.error, Transient):
                others.append(unread(subject, trial.error, target, trial.action, ""))
            else:
                others.append(unknown(subject, f"{trial.name} could not be tried ({trial.error})"))
        if allowed:
            yield fine(subject, ", ".join(allowed))
        for arn, of_arn in denied.items():
            text = f"{', '.join(trial.name for trial in of_arn)} refused ({of_arn[0].error})"
            yield wrong(subject, text, target.allow(tuple(trial.action for trial in of_arn), arn))
        yield from others
    yield unknown("permissions", f"not tried, because a try would do harm: {', '.join(UNTRIABLE)}")
