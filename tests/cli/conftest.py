"""Runs commands in this process: a fresh Python for each would cost a second."""

import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from handlers.export import Export, Status
from processor.cli.app import main
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.check.world import World
from tests.cli.dlq.dead_letters import Queues
from tests.resources import ClientFactory, audit_stream, leases_table, queue_pair, status_table
from tests.support.proxy import refusing_proxy

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
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
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
    for number, handler in signals.items():
        signal.signal(number, handler)


class Table:
    """A status table, and the settings that name it."""

    def __init__(self, clients: ClientFactory, environment: dict[str, str]) -> None:
        self.dynamodb = clients("dynamodb")
        self.name = environment["DYNAMODB_EXPORT_STATUS_TABLE"]
        self.environment = environment

    def put(
        self,
        request_id: str,
        status: Status = Status.PENDING,
        *,
        age: timedelta = timedelta(seconds=30),
        left: timedelta = timedelta(minutes=10),
        **more: str,
    ) -> dict[str, Any]:
        """Puts an export whose status is `age` old, with `left` to live; the item."""
        now = datetime.now(UTC)
        export = Export(request_id, status, now - age, now - age, ttl=int((now + left).timestamp()), **more)
        item = export.to_item()
        self.put_item(item)
        return item

    def put_item(self, item: Mapping[str, Any]) -> None:
        """Puts an item, be it ours or not."""
        self.dynamodb.put_item(TableName=self.name, Item=item)


@contextmanager
def refusing(environment: Mapping[str, str], *operations: str, **more: Any) -> Iterator[dict[str, str]]:
    """The settings, with a proxy before the emulator that refuses these operations."""
    with refusing_proxy(environment["AWS_ENDPOINT_URL"], *operations, **more) as endpoint_url:
        yield {**environment, "AWS_ENDPOINT_URL": endpoint_url}


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
def table(embedded_aws: EmbeddedAws, environment: dict[str, str]) -> Table:
    return Table(embedded_aws.client, environment)


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
