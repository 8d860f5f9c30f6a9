"""Asks AWS for the state that `check` judges; it changes nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, Transient
from processor.aws.sqs import redrive_policy
from processor.backoff import retry
from processor.settings import Settings

Answer = Mapping[str, Any] | AwsError
"""AWS's answer, or the error in its place."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue.

    Attributes:
        url: its URL, or its ARN where the URL is not known.
        attributes: its attributes.
        error: why its attributes are not known.
    """

    url: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: AwsError | None = None

    @property
    def name(self) -> str:
        """Its name, with `.fifo` where it is FIFO."""
        return re.split("[/:]", self.url)[-1]

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.attributes["QueueArn"])

    def number(self, attribute: str) -> int:
        """An attribute that is a number; 0 where the server leaves it out."""
        return int(self.attributes.get(attribute, 0))


@dataclass(frozen=True, slots=True)
class DeployedState:
    """The answers by resource; None where nothing was asked.

    Attributes:
        identity: the answer of STS.
        table: the description of the status table.
        ttl: its TTL.
        backups: its backups.
        leases: the description of the leases table.
        queue: the event queue.
        dlq: the queue of the settings, else the target of the event queue's redrive policy.
        audit_stream: the summary of the audit stream.
    """

    identity: Answer | None
    table: Answer
    ttl: Answer
    backups: Answer
    leases: Answer
    queue: Queue
    dlq: Queue | None
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

    def queue_at(url: str) -> Queue:
        answer = ask(sqs.get_queue_attributes, "Attributes", QueueUrl=url, AttributeNames=["All"])
        return Queue(url, error=answer) if isinstance(answer, AwsError) else Queue(url, answer)

    identity = ask(aws.other("sts").get_caller_identity) if ask_identity else None
    table = ask(dynamodb.describe_table, "Table", TableName=settings.table)

    def of_table(method: Callable[..., Any], part: str) -> Answer:
        return table if isinstance(table, AwsError) else ask(method, part, TableName=settings.table)

    queue, dlq = queue_at(settings.required_queue_url()), None
    if settings.dlq_url is not None:
        dlq = queue_at(settings.dlq_url)
    elif arn := redrive_policy(queue.attributes).dead_letter_arn:
        account, name = arn.split(":")[-2:]
        answer = ask(sqs.get_queue_url, QueueName=name, QueueOwnerAWSAccountId=account)
        dlq = Queue(arn, error=answer) if isinstance(answer, AwsError) else queue_at(answer["QueueUrl"])
    audit_stream = None
    if settings.audit_stream is not None:
        summary = aws.kinesis().describe_stream_summary
        audit_stream = ask(summary, "StreamDescriptionSummary", StreamName=settings.audit_stream)
    return DeployedState(
        identity=identity,
        table=table,
        ttl=of_table(dynamodb.describe_time_to_live, "TimeToLiveDescription"),
        backups=of_table(dynamodb.describe_continuous_backups, "ContinuousBackupsDescription"),
        leases=ask(dynamodb.describe_table, "Table", TableName=settings.leases_table),
        queue=queue,
        dlq=dlq,
        audit_stream=audit_stream,
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
