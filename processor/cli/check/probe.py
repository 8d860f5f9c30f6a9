"""Asks AWS for what `check` judges. Nothing here changes anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, Transient
from processor.aws.sqs import redrive_policy
from processor.cli.session import pause
from processor.settings import Settings

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Answer = Mapping[str, Any] | AwsError
"""What AWS said, or the error in its place."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What three calls say about the status table; none of them knows all."""

    description: Mapping[str, Any]
    ttl: Answer
    backups: Answer


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue and its attributes."""

    url: str
    attributes: Answer


@dataclass(frozen=True, slots=True)
class Facts:
    """Answers by what they are about. None: not asked, for want of something else.

    `dlq` is the queue in the settings, else the one that the event queue's redrive policy leads to; an error
    if that one cannot be found.
    """

    identity: Answer | None
    table: TableFacts | AwsError
    leases: Answer
    queue: QueueFacts
    dlq: QueueFacts | AwsError | None
    audit_stream: Answer | None


def read_facts(aws: Aws, settings: Settings, *, ask_identity: bool) -> Facts:
    """Asks for everything that the service needs.

    Args:
        aws: the clients.
        settings: with the event queue's URL.
        ask_identity: whether STS is of the same world as the other services.

    Raises:
        SettingsError: if the event queue's URL is not set.
    """
    dynamodb, sqs = aws.dynamodb(), aws.sqs()

    def queue_facts(url: str) -> QueueFacts:
        return QueueFacts(
            url, ask(sqs.get_queue_attributes, "Attributes", QueueUrl=url, AttributeNames=["All"])
        )

    identity = ask(aws.other("sts").get_caller_identity) if ask_identity else None
    queue = queue_facts(settings.required_queue_url())
    dlq_url = settings.dlq_url or _named_queue(sqs.get_queue_url, queue.attributes)
    return Facts(
        identity=identity,
        table=_status_table(dynamodb, settings.table),
        leases=ask(dynamodb.describe_table, "Table", TableName=settings.leases_table),
        queue=queue,
        dlq=queue_facts(dlq_url) if isinstance(dlq_url, str) else dlq_url,
        audit_stream=None
        if settings.audit_stream is None
        else ask(
            aws.kinesis().describe_stream_summary,
            "StreamDescriptionSummary",
            StreamName=settings.audit_stream,
        ),
    )


def ask(method: Callable[..., Any], part: str | None = None, /, **arguments: Any) -> Answer:
    """Makes a call, and once more where AWS throttled, failed or timed out.

    Args:
        method: such as `client.describe_table`.
        part: the part of the answer that is wanted; missing, it counts as empty.
        arguments: the call's parameters.
    """
    try:
        try:
            answer = call(method, **arguments)
        except Transient:
            pause(0)
            answer = call(method, **arguments)
    except AwsError as error:
        return error
    found: Mapping[str, Any] = answer if part is None else answer.get(part, {})
    return found


def _status_table(client: "DynamoDBClient", name: str) -> TableFacts | AwsError:
    description = ask(client.describe_table, "Table", TableName=name)
    if isinstance(description, AwsError):
        return description
    return TableFacts(
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
