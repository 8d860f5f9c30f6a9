"""What has to be known of queues, tables and the audit stream before the pipelines start.

Each check asks once; the service repeats the start (`service.Starts`). A probe that is refused is a warning,
not the end: the service may do its work with fewer permissions than looking at itself takes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from processor.aws.calls import call
from processor.aws.errors import AwsError, Misconfigured, NoCredentials, NotFound, Rejected
from processor.aws.sqs import RedrivePolicy, redrive_policy
from processor.observability.log import get_logger
from processor.settings import SettingsError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_kinesis import KinesisClient
    from types_boto3_sqs import SQSClient

MIN_VISIBILITY_SECONDS = 30  # a write's tries (15 s at worst), deletes and dead letters have to fit in
DEFAULT_VISIBILITY_SECONDS = 30  # SQS's own, where the queue's cannot be read
ANOTHER_QUEUE = "SQS_EXPORT_EVENTS_DLQ_URL must name another queue than the event queue"

T = TypeVar("T")


class StartError(Exception):
    """The service cannot start: a queue or table is missing or wrong. One clear line; exit status 1."""


class Unreachable(StartError):
    """AWS did not answer; the start can be tried again."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The event queue's attributes that the service works by.

    Attributes:
        visibility_seconds: its visibility timeout.
        redrive: its redrive policy.
        arn: its ARN; None if unknown.
    """

    visibility_seconds: int
    redrive: RedrivePolicy
    arn: str | None = None


def ask_queue(client: "SQSClient", url: str) -> QueueState:
    """Reads the event queue's attributes with one call.

    Raises:
        AwsError: if they cannot be read.
    """
    names: Sequence[Any] = ("QueueArn", "VisibilityTimeout", "RedrivePolicy")
    return _queue_state(call(client.get_queue_attributes, QueueUrl=url, AttributeNames=names))


def _queue_state(answer: Mapping[str, Any]) -> QueueState:
    attributes = answer.get("Attributes", {})
    visibility = int(attributes.get("VisibilityTimeout", DEFAULT_VISIBILITY_SECONDS))
    return QueueState(visibility, redrive_policy(attributes), attributes.get("QueueArn"))


def read_queue(client: "SQSClient", url: str, *, names_dead_letters: bool) -> QueueState:
    """Reads the event queue's attributes at the start.

    Args:
        client: SQS.
        url: the queue's.
        names_dead_letters: whether its redrive policy must name the dead-letter queue, for no setting does.

    Raises:
        StartError: if the queue is missing, SQS does not answer, or refuses what has to be known.
    """
    try:
        return _ask("the event queue", lambda: ask_queue(client, url))
    except Misconfigured as refused:
        if names_dead_letters:
            raise StartError(
                f"SQS_EXPORT_EVENTS_DLQ_URL is not set, and the redrive policy cannot be read ({refused})"
            ) from None
        get_logger().warning(
            "queue_attributes_unknown", error=str(refused), consequence="defaults are assumed"
        )
        return _queue_state({})


def dead_letter_url(
    client: "SQSClient", configured: str | None, arn: str | None, events_arn: str | None = None
) -> str:
    """The dead-letter queue's URL: the setting, else the queue of the redrive policy.

    Args:
        client: SQS.
        configured: SQS_EXPORT_EVENTS_DLQ_URL.
        arn: of the redrive policy.
        events_arn: the event queue's. A queue has several URLs, and copies must not go back into it.

    Raises:
        SettingsError: if there is neither, or it is the event queue.
        StartError: if that queue does not exist, or looking it up is refused.
    """
    if configured:
        try:
            answer = _ask(
                "the dead-letter queue",
                lambda: call(client.get_queue_attributes, QueueUrl=configured, AttributeNames=["QueueArn"]),
            )
            if events_arn is not None and answer.get("Attributes", {}).get("QueueArn") == events_arn:
                raise SettingsError(ANOTHER_QUEUE)
        except Misconfigured as refused:
            get_logger().warning(
                "dead_letter_queue_not_read", error=str(refused), consequence="it is not checked"
            )
        return configured
    if not arn:
        raise SettingsError(
            "SQS_EXPORT_EVENTS_DLQ_URL must be set to the dead-letter queue's URL,"
            " because the event queue has no redrive policy that names one"
        )
    account, name = arn.split(":")[-2:]
    try:
        return _ask(
            "the dead-letter queue",
            lambda: call(client.get_queue_url, QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"],
        )
    except Misconfigured as refused:
        raise StartError(
            f"SQS_EXPORT_EVENTS_DLQ_URL is not set, and looking the queue up is refused ({refused})"
        ) from None


def check_table(client: "DynamoDBClient", table: str) -> None:
    """Makes sure that the table exists and has the right key: with a wrong one DynamoDB would refuse every
    item, and good events would be dead-lettered.

    Raises:
        StartError: if it is missing or its key is another.
    """
    try:
        answer = _ask(f"the table {table}", lambda: call(client.describe_table, TableName=table))
    except Misconfigured as refused:
        get_logger().warning("table_not_described", error=str(refused), consequence="its key is not checked")
        return
    if wrong_key(answer["Table"], "requestId"):
        raise StartError(f"the table {table} must have the partition key requestId (S) and no sort key")


def check_leases_table(client: "DynamoDBClient", table: str) -> None:
    """Makes sure that the leases table exists and can be read by its key.

    Raises:
        StartError: if it is missing or its key is another.
    """
    key = {"leaseKey": {"S": "start-up-check"}}
    try:
        _ask(
            f"the table {table}",
            lambda: call(client.get_item, TableName=table, Key=key, ConsistentRead=True),
            rejected="must have the partition key leaseKey (S) and no sort key",
        )
    except Misconfigured as refused:
        get_logger().warning(
            "table_not_read", table=table, error=str(refused), consequence="no lease is taken"
        )


def check_audit_stream(client: "KinesisClient", stream: str) -> None:
    """Makes sure that the audit stream exists.

    Raises:
        StartError: if it is missing.
    """
    try:
        _ask(f"the audit stream {stream}", lambda: call(client.describe_stream_summary, StreamName=stream))
    except Misconfigured as refused:
        get_logger().warning(
            "audit_stream_not_described", error=str(refused), consequence="it is not checked"
        )


def wrong_key(description: Mapping[str, Any], key: str) -> str | None:
    """What is wrong with a table's key, which must be one partition key of type S and no sort key.

    Args:
        description: DescribeTable's `Table`.
        key: the partition key's name.

    Returns:
        The key that the table has, such as `id (N), at (S)`; None if it is the right one.
    """
    types = {each["AttributeName"]: each["AttributeType"] for each in description["AttributeDefinitions"]}
    keys = [(each["AttributeName"], each["KeyType"]) for each in description["KeySchema"]]
    if keys == [(key, "HASH")] and types.get(key) == "S":
        return None
    return ", ".join(f"{attribute} ({types.get(attribute)})" for attribute, _ in keys)


def _ask(what: str, attempt: Callable[[], T], rejected: str = "has a name that AWS refuses") -> T:
    """Makes a call about a resource, and turns its failure into one clear line.

    Args:
        what: the resource, for the error's text.
        attempt: the call.
        rejected: what is wrong with the resource if AWS refuses the call's content.

    Raises:
        Unreachable: if AWS does not answer.
        StartError: if the resource is missing, or AWS refuses the call's content.
        SettingsError: if there are no credentials.
        Misconfigured: if AWS refuses the call itself.
    """
    try:
        return attempt()
    except NotFound as error:
        raise StartError(f"{what} does not exist in this region and account ({error})") from None
    except NoCredentials as error:
        raise SettingsError(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role must give credentials"
            f" ({error})"
        ) from None
    except Misconfigured:
        raise
    except Rejected as error:
        raise StartError(f"{what} {rejected} ({error})") from None
    except AwsError as error:
        raise Unreachable(f"{what} cannot be reached ({error})") from None
