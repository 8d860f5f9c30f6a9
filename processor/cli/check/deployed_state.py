"""Asks AWS for the state that `check` judges; it changes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, Transient
from processor.aws.sqs import redrive_policy
from processor.backoff import retry
from processor.settings import Settings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Answer = Mapping[str, Any] | AwsError
"""AWS's answer, or the error in its place."""


@dataclass(frozen=True, slots=True)
class TableState:
    """The answers of three calls about the status table."""

    description: Mapping[str, Any]
    ttl: Answer
    backups: Answer


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue and its attributes."""

    url: str
    attributes: Answer


@dataclass(frozen=True, slots=True)
class DeployedState:
    """The answers by resource; None where nothing was asked.

    Attributes:
        identity: the answer of STS.
        table: the status table.
        leases: the description of the leases table.
        queue: the event queue.
        dlq: the queue of the settings, else the target of the event queue's redrive policy; an error if that
            queue cannot be found.
        audit_stream: the summary of the audit stream.
    """

    identity: Answer | None
    table: TableState | AwsError
    leases: Answer
    queue: QueueState
    dlq: QueueState | AwsError | None
    audit_stream: Answer | None


def read_deployed_state(aws: Aws, settings: Settings, *, ask_identity: bool) -> DeployedState:
    """Asks AWS about every resource that the service needs.

    Args:
        aws: the clients.
        settings: with the event queue's URL.
        ask_identity: whether to ask STS, which may not be at the endpoint of the other services.

    Raises:
        SettingsError: if the event queue's URL is not set.
    """
    dynamodb, sqs = aws.dynamodb(), aws.sqs()

    def queue_state(url: str) -> QueueState:
        return QueueState(
            url, ask(sqs.get_queue_attributes, "Attributes", QueueUrl=url, AttributeNames=["All"])
        )

    identity = ask(aws.other("sts").get_caller_identity) if ask_identity else None
    queue = queue_state(settings.required_queue_url())
    dlq_url = settings.dlq_url or _named_queue(sqs.get_queue_url, queue.attributes)
    return DeployedState(
        identity=identity,
        table=_status_table(dynamodb, settings.table),
        leases=ask(dynamodb.describe_table, "Table", TableName=settings.leases_table),
        queue=queue,
        dlq=queue_state(dlq_url) if isinstance(dlq_url, str) else dlq_url,
        audit_stream=None
        if settings.audit_stream is None
        else ask(
            aws.kinesis().describe_stream_summary,
            "StreamDescriptionSummary",
            StreamName=settings.audit_stream,
        ),
    )


def ask(method: Callable[..., Any], part: str | None = None, /, **arguments: Any) -> Answer:
    """Makes a call, and one retry where AWS throttled, failed or timed out.

    Args:
        method: such as `client.describe_table`.
        part: the member of the answer to return; a missing one counts as empty. None: the whole answer.
        arguments: the call's parameters.

    Returns:
        The answer, or the error.
    """
    try:
        answer = retry(lambda: call(method, **arguments), on=Transient, tries=2, wait=Event().wait)
    except AwsError as error:
        return error
    found: Mapping[str, Any] = answer if part is None else answer.get(part, {})
    return found


def _status_table(client: "DynamoDBClient", name: str) -> TableState | AwsError:
    description = ask(client.describe_table, "Table", TableName=name)
    if isinstance(description, AwsError):
        return description
    return TableState(
        description,
        ttl=ask(client.describe_time_to_live, "TimeToLiveDescription", TableName=name),
        backups=ask(client.describe_continuous_backups, "ContinuousBackupsDescription", TableName=name),
    )


def _named_queue(get_queue_url: Callable[..., Any], queue: Answer) -> str | AwsError | None:
    """The URL of the queue that the redrive policy names."""
    arn = None if isinstance(queue, AwsError) else redrive_policy(queue).dead_letter_arn
    if arn is None:
        return None
    account, name = arn.split(":")[-2:]
    answer = ask(get_queue_url, QueueName=name, QueueOwnerAWSAccountId=account)
    return answer if isinstance(answer, AwsError) else str(answer["QueueUrl"])
