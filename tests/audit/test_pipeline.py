"""The audit part in the service: its start and stop in any order, its clients' patience, what hangs."""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from processor import service
from processor.audit.pipeline import AuditPart
from processor.audit.sinks.kinesis import KinesisSink, bucket_number
from processor.loops import StopReport
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import Settings
from tests.audit.kinesis_standin import Kinesis
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedShard, SimulatedTable, number_of
from tests.simulated_stream.rows import SimulatedRows
from tests.streams.test_shard_reader import expire
from tests.streams.world import World, watched


def settings_of(folder: Path) -> Settings:
    """What an audit-only task needs."""
    values: dict[str, Any] = {
        "AWS_REGION": "us-east-1",
        "EXPORT_HEALTH_FILE": f"{folder}/health",
        "EXPORT_METRICS_SECONDS": "0",
    }
    return Settings(_env_file=None, **values)


def test_a_stop_in_the_middle_of_the_start_ends_it_cleanly(tmp_path: Path) -> None:
    class Tables(SimulatedRows):
        """The stop finds no consumer yet; the start goes on to make one, and then sees that it is to end."""

        def get_item(self, **arguments: Any) -> dict[str, Any]:
            part.stop(time.monotonic() + 60)
            return super().get_item(**arguments)

        def describe_table(self, **_: Any) -> dict[str, Any]:
            key = {"AttributeName": "requestId"}
            shape = {
                "KeySchema": [key | {"KeyType": "HASH"}],
                "AttributeDefinitions": [key | {"AttributeType": "S"}],
            }
            return {"Table": shape}

    tables, streams = Tables(), SimulatedStreamsClient(SimulatedTable("export-status", time.time))
    aws: Any = SimpleNamespace(
        dynamodb=lambda: tables, leases=lambda: tables, streams=lambda: streams, settling=lambda: None
    )
    part = AuditPart(
        settings=settings_of(tmp_path),
        aws=aws,
        metrics=Metrics(),
        health=Health(tmp_path / "health", pytest.fail),
        on_death=lambda name, _: pytest.fail(name),
    )
    part.start(threading.Event())
    assert tables.rows == {}, "nothing was read"
    assert part.join() == StopReport(clean=True, hung=False)


def test_the_service_leaves_the_process_at_once_when_a_thread_hangs_although_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HangingPart:
        """Asks for the end as soon as it is started, and leaves a thread behind."""

        def __init__(self, **_others: object) -> None:
            """Needs nothing."""

        def start(self, cancelled: threading.Event) -> None:
            """Sets what a signal sets."""
            cancelled.set()

        def stop(self, deadline: float) -> None:
            """Has nothing to stop."""

        def join(self) -> StopReport:
            """Every lease was released."""
            return StopReport(clean=True, hung=True)

    monkeypatch.setattr(service, "AuditPart", HangingPart)
    left: list[int] = []
    # Not in the main thread, whose signals are to stay as they are.
    thread = threading.Thread(
        target=service.run_service, args=(settings_of(tmp_path), ("audit",), left.append)
    )
    thread.start()
    thread.join(60)
    assert left == [service.EXIT_FINE]


class KinesisWorld(World):
    """A simulated world whose workers put their entries into a Kinesis stream."""

    def __init__(self, kinesis: Kinesis) -> None:
        super().__init__()
        random.seed(1)  # jitter: the same at each run
        self.kinesis = kinesis
        self.sink = KinesisSink(kinesis, "export-audit", buckets=16, clock=self.clock)

    def unaccounted(self, shard: SimulatedShard, limit: int | None = None) -> list[dict[str, Any]]:
        """A shard's REMOVE records, up to a number, whose entries are not in the stream."""
        arrived = {entry.audit_id for entry in self.kinesis.entries()}
        return [
            record
            for record in shard.written
            if record["eventName"] == "REMOVE"
            and (limit is None or number_of(record) <= limit)
            and record["eventID"] not in arrived
        ]


def test_a_stop_with_a_blocked_bucket_repeats_little_and_keeps_the_checkpoint() -> None:
    kinesis = Kinesis()
    with watched(KinesisWorld(kinesis)) as world:
        worker = world.start_worker()
        world.run(5)
        kinesis.blocked = {"bucket-7"}
        expire(world, 200)
        world.run(30)
        world.stop(worker)
        removals = [record for _, record in world.table.removals()]
        held = [record for record in removals if bucket_of(record) == 7]
        (lease,) = world.leases().values()
        before_held = number_of(held[0]) - 1
        assert int(lease.position.sequence_number or 0) == before_held, "as far as it got"
        assert len(list(kinesis.entries())) == len(removals) - len(held), "nothing is put twice in a tenure"
        kinesis.blocked = set()
        world.start_worker()
        world.run(10)
        assert world.missing() == []
        copies = Counter(entry.audit_id for entry in kinesis.entries())
        assert max(copies.values()) <= 2
        assert {copies[record["eventID"]] for record in held} == {1}


@pytest.mark.slow
def test_an_hour_without_kinesis_repeats_nothing_and_reading_continues_within_a_minute() -> None:
    kinesis = Kinesis()
    with watched(KinesisWorld(kinesis)) as world:
        world.start_worker()
        world.run(30)
        kinesis.blocked = {f"bucket-{number}" for number in range(16)}
        expire(world, 200)
        world.run(3_600)
        kinesis.blocked = set()
        assert world.run(60, until=lambda: not world.missing())
        assert len(list(kinesis.entries())) == 200


def bucket_of(record: dict[str, Any]) -> int:
    """The bucket of a REMOVE record's entry."""
    return bucket_number(record["dynamodb"]["Keys"]["requestId"]["S"], 16)
