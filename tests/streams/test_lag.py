"""How late the audit is: known when idle, when held and when time runs out."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog

from processor.observability.metrics import Metrics
from processor.streams.lag import LagReport, unread_since
from processor.streams.leases.lease import Position, new_lease
from tests.simulated_stream.client import error
from tests.streams.test_shard_reader import expire, only_shard, only_worker
from tests.streams.worker import EPOCH, ShownHealth
from tests.streams.world import World, values_of

HOUR = 3_600.0
TRUSTED_SECONDS = 9.0  # of a failover time of ten


def lag_of(world: World) -> float:
    """How late the only reader is."""
    (reader,) = only_worker(world).consumer.readers
    return world.now() - (reader.progress.behind_since or world.now())


def sink_is_down(world: World) -> None:
    """The sink takes nothing."""
    world.sink_is_down = True
    expire(world, 3)


def stream_fails(world: World) -> None:
    """Nothing can be read."""
    world.faults.errors.extend([("GetRecords", "InternalServerError")] * 1_000)


def leases_table_fails(world: World) -> None:
    """No lease is trusted."""
    world.rows.lost_requests = 10**6


@pytest.mark.parametrize("fail", [sink_is_down, stream_fails, leases_table_fails])
def test_a_shard_that_is_not_read_or_not_delivered_gets_later_even_if_it_was_caught_up(
    world: World, fail: Callable[[World], None]
) -> None:
    world.start_worker()
    expire(world, 3)
    world.run(60)
    assert lag_of(world) == 0
    fail(world)
    world.run(600)
    assert 600 - TRUSTED_SECONDS - 1 <= lag_of(world) <= 603
    world.sink_is_down, world.rows.lost_requests = False, 0
    world.faults.errors.clear()
    world.run(60)
    assert lag_of(world) == 0


def test_a_backlog_is_as_late_as_its_last_record_read(world: World) -> None:
    world.faults.max_records = 3
    for _ in range(100):
        expire(world, 1)
        world.time += 10
    world.start_worker()
    world.run(5)
    assert 700 < lag_of(world) < 1_010
    world.run(60)
    assert lag_of(world) == 0


def test_twenty_hours_late_is_an_alarm_with_the_time_left_once_an_hour() -> None:
    metrics, health = Metrics(), ShownHealth()
    report = LagReport(metrics, health)
    report.update([], EPOCH)
    assert "StreamLag" not in values_of(metrics), "a task without shards says nothing about lag"
    with structlog.testing.capture_logs() as logs:
        for seconds in range(0, 7_200, 60):
            report.update([(EPOCH, "b"), (EPOCH - 20.5 * HOUR, "a")], EPOCH + seconds)
    assert [(line["event"], line["log_level"], line["shard_id"]) for line in logs] == [
        ("audit_trim_near", "error", "a")
    ] * 2
    assert logs[0]["hours_left"] == 3.5
    assert values_of(metrics)["StreamLag"] == 20.5 * HOUR + 7_140, "of the worst shard"
    assert "until unread records are trimmed" in health.degraded["stream lag"]
    report.update([(EPOCH, "a")], EPOCH)
    assert health.degraded == {}


@pytest.mark.slow
def test_what_no_task_reads_is_late_and_counted(new_world: Callable[[int], World]) -> None:
    world = new_world(4)
    first = world.start_worker(failover_seconds=2 * HOUR)
    world.run(30)
    world.kill(first)
    second = world.start_worker()
    world.run(HOUR)
    assert not second.readers, "the dead worker's leases have not expired yet"
    values = values_of(second.metrics)
    assert HOUR - 60 <= values["StreamLag"] <= HOUR + 60
    assert values["HoursToTrim"] < 23.1
    world.run(HOUR + 10, until=lambda: len(second.readers) == 4)
    values = values_of(second.metrics)
    assert values["UnheldShards"] == 4
    world.run(60)
    values_of(second.metrics)
    world.run(60)
    values = values_of(second.metrics)
    assert (values["StreamLag"], values["UnheldShards"], values["HoursToTrim"]) == (0, 0, 24)


@pytest.mark.slow
@pytest.mark.parametrize(("tasks", "hours"), [(1, 3.0), (2, 0.1)])
def test_an_idle_table_is_not_late_for_any_of_its_tasks(
    new_world: Callable[[int], World], tasks: int, hours: float
) -> None:
    world = new_world(2 * tasks - 1)
    workers = [world.start_worker() for _ in range(tasks)]
    world.run(120)
    for worker in workers:
        values_of(worker.metrics)
    world.run(hours * HOUR)
    for worker in workers:
        values = values_of(worker.metrics)  # the worst since the last line
        assert (values["StreamLag"], values["UnheldShards"], values["HoursToTrim"]) == (0, 0, 24)
        assert values["DiscoveryAge"] < 120


def test_the_age_of_discovery_grows_while_no_stream_can_be_listed(world: World) -> None:
    worker = world.start_worker()
    world.run(30)
    worker.client.fail("AccessDeniedException", times=10**6, operation="DescribeStream")
    world.run(600)
    assert 500 <= values_of(worker.metrics)["DiscoveryAge"] <= 640


def test_the_age_of_discovery_grows_while_a_shard_can_have_no_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_: object) -> None:
        raise error("PutItem", "AccessDeniedException")

    worker = world.start_worker()
    world.run(30)
    monkeypatch.setattr(world.rows, "put_item", denied)
    world.table.roll(only_shard(world))
    world.run(600)
    assert values_of(worker.metrics)["DiscoveryAge"] >= 500


def test_a_shard_that_is_acquired_as_soon_as_it_is_found_was_never_unheld(world: World) -> None:
    worker = world.start_worker()
    world.run(60)
    values_of(worker.metrics)
    world.table.roll(only_shard(world))
    world.run(60)
    assert values_of(worker.metrics)["UnheldShards"] == 0


def test_the_row_of_a_shard_says_how_late_it_is() -> None:
    now = EPOCH + HOUR
    row = new_lease("arn", "shardId-1", frozenset(), now=EPOCH, tracked_since=EPOCH)
    assert unread_since(row, now, 10) == EPOCH, "never read: since its start"
    read = replace(row, position=Position("5", EPOCH + 60))
    assert unread_since(read, now, 10) == EPOCH + 60, "since its last record"
    quiet = replace(read, read_until=now - 9)
    assert unread_since(quiet, now, 10) == now, "caught up at the last renewal"
    assert unread_since(quiet, now, 5) == now - 9
