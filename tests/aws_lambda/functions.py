"""Both functions on the embedded AWS, with fresh queues, table and audit stream."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from threading import Event
from typing import Any

from processor.audit.tail import KinesisReader
from processor.aws.clients import Aws
from processor.aws_lambda.audit import AuditFunction
from processor.aws_lambda.runtime import Environment
from processor.aws_lambda.transitions import TransitionsFunction
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import Health
from processor.observability.metrics import Metrics, Part
from processor.settings import AwsSettings, Settings
from processor.transitions.context import Clocks
from tests.audit.kcl_oracle import WHOLE, accepted
from tests.faults.checker import Delivered
from tests.resources import audit_stream, queue_pair, status_table

VISIBILITY_SECONDS = 300


@dataclass
class Deployed:
    """What the functions work on. The table has no TTL: nothing goes away by itself.

    Args:
        aws: the embedded AWS.
        fifo: whether the queues are FIFO.
        max_receive_count: of the event queue.
        settings: that differ from a deployment's.
    """

    aws: EmbeddedAws
    fifo: bool = False
    max_receive_count: int = 60
    settings: dict[str, str] | None = None

    def __post_init__(self) -> None:
        self.sqs: Any = self.aws.client("sqs")
        self.dynamodb: Any = self.aws.client("dynamodb")
        self.kinesis: Any = self.aws.client("kinesis")
        self.table = status_table(self.aws.client)
        self.queue_url, self.dlq_url = queue_pair(
            self.aws.client,
            fifo=self.fifo,
            max_receive_count=self.max_receive_count,
            visibility_seconds=VISIBILITY_SECONDS,
        )
        self.stream = audit_stream(self.aws.client, shards=1)

    def variables(self) -> dict[str, str]:
        """The functions' environment."""
        return (
            self.aws.environment()
            | {
                "DYNAMODB_EXPORT_STATUS_TABLE": self.table,
                "SQS_EXPORT_EVENTS_QUEUE_URL": self.queue_url,
                "SQS_EXPORT_EVENTS_DLQ_URL": self.dlq_url,
                "KINESIS_EXPORT_AUDIT_STREAM": self.stream,
                "EXPORT_AUDIT_SINKS": "kinesis,log",
                "EXPORT_STATUS_TTL_SECONDS": "900",
                "EXPORT_METRICS_SECONDS": "0",
            }
            | (self.settings or {})
        )

    def environment(self, part: Part) -> Environment:
        """What an execution environment of Lambda prepares, without the log's set-up."""
        values: dict[str, Any] = self.variables()
        settings = Settings(_env_file=None, **values)
        at = AwsSettings(
            region=values["AWS_REGION"],
            endpoint_url=values["AWS_ENDPOINT_URL"],
            access_key_id=values["AWS_ACCESS_KEY_ID"],
            secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
        )
        health = Health(settings.health_file, warn=lambda _problem: None)
        return Environment(settings, Aws(at), Metrics([part]), health)

    def transitions(self, clocks: Clocks | None = None) -> TransitionsFunction:
        """A new environment of the first function."""
        return TransitionsFunction(self.environment(Part.TRANSITIONS), clocks)

    def in_kinesis(self) -> list[Delivered]:
        """The entries in the audit stream, as a KCL application sees them."""
        reader = KinesisReader(self.kinesis, self.stream, wait=Event().wait)
        return [
            Delivered("kinesis", (int(record.sequence_number), index), json.loads(data))
            for page in reader.pages(datetime.now(UTC))
            for record in page
            for index, data in enumerate(accepted(record.data, WHOLE))
        ]

    @cached_property
    def audit(self) -> AuditFunction:
        """The second function."""
        return AuditFunction(self.environment(Part.AUDIT))
