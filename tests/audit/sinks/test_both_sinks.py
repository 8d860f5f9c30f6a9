"""The service with both sinks, as a process: the same entries in both, and a sink that is down is named."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.resources import audit_stream, leases_table, queue_pair, status_table
from tests.support.proxy import Answer, Request, Upstream, failure
from tests.support.proxy import proxy as proxy_before
from tests.support.service import ServiceProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

SECONDS = 60.0


class KinesisProxy:
    """What happens to PutRecords now."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.fails = False

    async def treat(self, request: Request, upstream: Upstream) -> Answer:
        """Forwards a call, or fails it."""
        if self.fails and request.target.endswith(".PutRecords"):
            return failure("InternalFailureException", 500)
        return await upstream.ask(request)


class Service:
    """A running service on tables and queues of its own."""

    def __init__(self, aws: EmbeddedAws, sinks: str, proxy: KinesisProxy, home: Path) -> None:
        queue, dlq = queue_pair(aws.client)
        self.aws = aws
        self.table = status_table(aws.client, ttl=True)
        self.leases = leases_table(aws.client)
        self.environment = aws.service_environment() | {
            "DYNAMODB_EXPORT_STATUS_TABLE": self.table,
            "DYNAMODB_EXPORT_LEASES_TABLE": self.leases,
            "SQS_EXPORT_EVENTS_QUEUE_URL": queue,
            "SQS_EXPORT_EVENTS_DLQ_URL": dlq,
            "KINESIS_EXPORT_AUDIT_STREAM": audit_stream(aws.client),
            "AWS_ENDPOINT_URL_KINESIS": proxy.endpoint,
            "EXPORT_AUDIT_SINKS": sinks,
            "EXPORT_METRICS_SECONDS": "1",
        }
        self.process = ServiceProcess(self.environment, home)
        self.logged = self.process.lines

    def put_expired(self, count: int) -> set[str]:
        """Items whose time is over, so that TTL takes them at once; their ids."""
        client = self.aws.client("dynamodb")
        ids = {f"req-{number}" for number in range(count)}
        for request_id in ids:
            stamp = {"S": "2026-11-22T10:00:00.000Z"}
            item = {"requestId": {"S": request_id}, "status": {"S": "completed"}, "createdAt": stamp}
            ttl = {"ttl": {"N": str(int(time.time()) - 5)}, "updatedAt": stamp}
            client.put_item(TableName=self.table, Item=item | ttl)
        return ids

    def tailed(self) -> Sequence[Mapping[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "processor", "audit", "tail"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def healthcheck(self) -> str:
        return subprocess.run(
            [sys.executable, "-m", "processor", "healthcheck"],
            env=self.environment | {"EXPORT_HEALTH_FILE": str(self.process.health_file)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        ).stdout

    def checkpoint(self) -> int:
        """The sequence number up to which the table's one shard is done."""
        (row,) = self.aws.client("dynamodb").scan(TableName=self.leases, ConsistentRead=True)["Items"]
        text = row["checkpoint"]["S"]
        return 0 if text == "TRIM_HORIZON" else int(text)


@pytest.fixture
def proxy(embedded_aws: EmbeddedAws) -> Iterator[KinesisProxy]:
    treated = KinesisProxy()
    with proxy_before(embedded_aws.endpoint_url, treated.treat) as treated.endpoint:
        yield treated


@contextmanager
def running(service: Service) -> Iterator[None]:
    with service.process:
        service.process.wait_for("service_started")
        yield
        assert service.process.stop()[0] == 0


def ids_of(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(entry["auditId"] for entry in entries)


def sequence_numbers(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    return [int(entry["source"]["sequenceNumber"]) for entry in entries]


@pytest.mark.parametrize("sinks", ["kinesis,log", "log,kinesis"])
def test_both_sinks_get_each_entry_with_the_same_id(
    embedded_aws: EmbeddedAws, proxy: KinesisProxy, tmp_path: Path, sinks: str
) -> None:
    service = Service(embedded_aws, sinks, proxy, tmp_path)
    with running(service):
        expected = service.put_expired(40)
        eventually(lambda: len(service.logged("audit")) >= 40, SECONDS)
    logged, tailed = service.logged("audit"), service.tailed()
    assert {entry["requestId"] for entry in tailed} == expected
    assert len(tailed) == 40
    assert ids_of(tailed) == ids_of(logged)
    fields = set(tailed[0])
    first = {entry["auditId"]: entry for entry in logged}[tailed[0]["auditId"]]
    assert {name: first[name] for name in fields} == tailed[0]


def test_a_sink_that_is_down_is_named_and_holds_the_checkpoint_until_it_is_back(
    embedded_aws: EmbeddedAws, proxy: KinesisProxy, tmp_path: Path
) -> None:
    service = Service(embedded_aws, "log,kinesis", proxy, tmp_path)
    with running(service):
        proxy.fails = True
        expected = service.put_expired(20)
        (down,) = eventually(lambda: service.logged("audit_sink_down"), SECONDS)
        assert (down["sink"], down["problem"]) == (
            "kinesis",
            "sink kinesis: PutRecords: InternalFailureException, 6 times in a row",
        )
        eventually(lambda: any(line.get("SinksDown") == 1 for line in service.logged("metrics")), SECONDS)
        eventually(lambda: "audit kinesis" in service.healthcheck(), SECONDS)
        # The log had them already; the checkpoint waits for the slower sink.
        assert service.checkpoint() < min(sequence_numbers(service.logged("audit")))
        proxy.fails = False
        (up,) = eventually(lambda: service.logged("audit_sink_up"), SECONDS)
        assert up["sink"] == "kinesis"
        eventually(lambda: len(service.logged("audit")) >= 20, SECONDS)
    assert service.checkpoint() >= max(sequence_numbers(service.logged("audit")))
    tailed = service.tailed()
    assert {entry["requestId"] for entry in tailed} == expected
    assert ids_of(tailed) == ids_of(service.logged("audit"))
