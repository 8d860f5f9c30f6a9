"""Resources that `check` finds as the service needs them, for a test to break one of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from processor.cli.check.finding import Finding
from processor.cli.check.target import Target
from tests.cli.commands import Command, Ran
from tests.resources import ClientFactory

ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/export-status-task/8f1c"
AWS = Target("eu-west-1", {}, ROLE)


@dataclass
class World:
    """Resources of one test's own, as the service needs them, and the settings that name them."""

    clients: ClientFactory
    environment: dict[str, str]
    command: Command

    def check(self, *options: str, **settings: str) -> Ran:
        return self.command("check", *options, environment=self.environment | settings)

    @property
    def table(self) -> str:
        return self.environment["DYNAMODB_EXPORT_STATUS_TABLE"]

    @property
    def leases(self) -> str:
        return self.environment["DYNAMODB_EXPORT_LEASES_TABLE"]

    @property
    def queue_url(self) -> str:
        return self.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]

    @property
    def dlq_url(self) -> str:
        return self.environment["SQS_EXPORT_EVENTS_DLQ_URL"]

    def update_table(self, **changes: Any) -> None:
        self.clients("dynamodb").update_table(TableName=self.table, **changes)

    def set_queue(self, url: str, **attributes: str) -> None:
        self.clients("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def set_ttl(self, *, enabled: bool, attribute: str = "ttl") -> None:
        self.clients("dynamodb").update_time_to_live(
            TableName=self.table, TimeToLiveSpecification={"Enabled": enabled, "AttributeName": attribute}
        )

    def recreate_table(self, name: str, key: str, kind: str = "S", **more: Any) -> None:
        dynamodb = self.clients("dynamodb")
        dynamodb.delete_table(TableName=name)
        dynamodb.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            **more,
        )


def findings(lines: Sequence[str], verdict: str = "wrong") -> dict[str, dict[str, str]]:
    """The findings of `check --json` with this verdict, by subject."""
    parsed = [json.loads(line) for line in lines]
    return {each["subject"]: each for each in parsed if each["verdict"] == verdict}


def named(world: World, text: str, **more: object) -> str:
    return text.format(
        **more,
        table=world.environment["DYNAMODB_EXPORT_STATUS_TABLE"],
        leases=world.environment["DYNAMODB_EXPORT_LEASES_TABLE"],
        queue=world.queue_url.rpartition("/")[2],
        dlq=world.environment.get("SQS_EXPORT_EVENTS_DLQ_URL", "").rpartition("/")[2],
        audit=world.environment["KINESIS_EXPORT_AUDIT_STREAM"],
    )


def by_subject(findings: Any) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}
