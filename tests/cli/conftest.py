"""Runs commands in this process: a fresh Python for each would cost a second."""

import io
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from handlers.export import Export, Status
from processor.cli.app import main
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.check.world import World
from tests.cli.commands import Command, Ran
from tests.cli.dlq.dead_letters import Queues
from tests.resources import (
    ClientFactory,
    audit_stream,
    drained_messages,
    leases_table,
    queue_pair,
    status_table,
)
from tests.support.proxy import refusing_proxy

SETTINGS = ("AWS_", "EXPORT_", "SQS_", "DYNAMODB_", "KINESIS_", "LOG_")


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
    """A status table, an event queue, and the settings that name them."""

    def __init__(self, clients: ClientFactory, environment: dict[str, str], command: Command) -> None:
        self.clients = clients
        self.dynamodb = clients("dynamodb")
        self.name = environment["DYNAMODB_EXPORT_STATUS_TABLE"]
        self.environment = environment
        self.command = command

    def run(self, *arguments: str, **settings: str) -> Ran:
        """Runs a command that finds this table and this queue."""
        return self.command(*arguments, environment=self.environment | settings)

    def publish(self, stdin: bytes | None, *options: str, file: str = "-", **settings: str) -> Ran:
        """Runs `publish`, by default for the lines of standard input."""
        environment = self.environment | settings
        return self.command("publish", file, *options, environment=environment, stdin=stdin)

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

    def messages(self) -> list[dict[str, Any]]:
        """Takes the messages out of the event queue."""
        return list(drained_messages(self.clients, self.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]))

    def events(self) -> list[dict[str, Any]]:
        """Takes the events out of the event queue."""
        return [json.loads(message["Body"]) for message in self.messages()]

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
def table(embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command) -> Table:
    return Table(embedded_aws.client, environment, command)


@pytest.fixture
def queues(embedded_aws: EmbeddedAws, command: Command) -> Queues:
    return Queues(embedded_aws.client, embedded_aws.environment(), command)


@pytest.fixture
def fifo_queues(embedded_aws: EmbeddedAws, command: Command) -> Queues:
    return Queues(embedded_aws.client, embedded_aws.environment(), command, fifo=True)


@pytest.fixture
def world(embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command) -> World:
    clients = embedded_aws.client
    environment["KINESIS_EXPORT_AUDIT_STREAM"] = audit_stream(clients, shards=1)
    world = World(clients, environment, command)
    clients("dynamodb").update_continuous_backups(
        TableName=world.table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    world.set_ttl(enabled=True)
    world.set_queue(world.queue_url, MaximumMessageSize="262144")
    world.set_queue(world.dlq_url, MessageRetentionPeriod="1209600", MaximumMessageSize="1048576")
    return world
