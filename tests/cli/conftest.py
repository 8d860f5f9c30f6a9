"""Runs commands in this process: a fresh Python for each would cost a second."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from processor.cli.app import main
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.check.world import World
from tests.cli.dlq.dead_letters import Queues
from tests.resources import audit_stream, leases_table, queue_pair, status_table

SETTINGS = ("AWS_", "EXPORT_", "SQS_", "DYNAMODB_", "KINESIS_", "LOG_")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output."""
        return self.out.splitlines()


Command = Callable[..., Ran]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Command]:
    """`command("get", "req-1", environment=…, stdin=…)`: runs `export-status get req-1` in an empty directory
    with these settings and no others."""
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, environment: Mapping[str, str], stdin: bytes | None = b"") -> Ran:
        with monkeypatch.context() as patched:
            for name in os.environ:
                if name.startswith(SETTINGS):
                    patched.delenv(name)
            for name, value in environment.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["export-status", *arguments])
            patched.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
            capsys.readouterr()
            try:
                main()
                status = 0
            except SystemExit as left:
                status = left.code if isinstance(left.code, int) else 0
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    yield run
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture
def environment(embedded_aws: EmbeddedAws) -> dict[str, str]:
    """Settings with tables and queues of the test's own."""
    url, dlq_url = queue_pair(embedded_aws.client)
    own = {
        "DYNAMODB_EXPORT_STATUS_TABLE": status_table(embedded_aws.client),
        "DYNAMODB_EXPORT_LEASES_TABLE": leases_table(embedded_aws.client),
        "SQS_EXPORT_EVENTS_QUEUE_URL": url,
        "SQS_EXPORT_EVENTS_DLQ_URL": dlq_url,
    }
    return embedded_aws.environment() | own


@pytest.fixture
def queues(embedded_aws: EmbeddedAws) -> Queues:
    return Queues(embedded_aws.client, embedded_aws.environment())


@pytest.fixture
def fifo_queues(embedded_aws: EmbeddedAws) -> Queues:
    return Queues(embedded_aws.client, embedded_aws.environment(), fifo=True)


@pytest.fixture
def world(embedded_aws: EmbeddedAws) -> World:
    clients = embedded_aws.client
    table = status_table(clients, ttl=True)
    dynamodb = clients("dynamodb")
    dynamodb.update_continuous_backups(
        TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    queue_url, dlq_url = queue_pair(clients, attributes={"MaximumMessageSize": "262144"})
    clients("sqs").set_queue_attributes(
        QueueUrl=dlq_url,
        Attributes={"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576"},
    )
    own = {
        "DYNAMODB_EXPORT_STATUS_TABLE": table,
        "DYNAMODB_EXPORT_LEASES_TABLE": leases_table(clients),
        "SQS_EXPORT_EVENTS_QUEUE_URL": queue_url,
        "SQS_EXPORT_EVENTS_DLQ_URL": dlq_url,
        "KINESIS_EXPORT_AUDIT_STREAM": audit_stream(clients, shards=1),
    }
    return World(clients, embedded_aws.environment() | own)
