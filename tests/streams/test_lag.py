"""How late the audit is: known when idle, when held and when time runs out."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog

from processor.observability.metrics import Metrics
from processor.streams.lag import Lag, LagReport
from processor.streams.lag import lag_of as lag_by_row
from processor.streams.leases.lease import Position, new_lease
from tests.streams.test_shard_reader import expire, only_shard
from tests.streams.worker import EPOCH, ShownHealth
from tests.streams.world import World, values_of

HOUR = 3_600.0
TRUSTED_SECONDS = 9.0  # of a failover time of ten


def lag_of(world: World) -> float:
    """How late the only reader is."""
    (worker,) = world.workers.values()
    (reader,) = worker.readers.values()
    return Lag(only_shard(world), reader.behind_since()).seconds(world.now())


def test_an_idle_shard_is_not_late(world: World) -> None:
    world.start_worker()
    world.run(600)
    assert lag_of(world) == 0
    expire(world, 3)
    world.run(600)
    assert lag_of(world) == 0


def test_a_shard_whose_sink_is_down_gets_later_and_later(world: World) -> None:
    world.start_worker()
    world.run(5)
    world.sink_is_down = True
    expire(world, 3)
    world.run(600)
    assert lag_of(world) == pytest.approx(600, abs=3)
    world.sink_is_down = False
    world.run(60)
    assert lag_of(world) == 0


def test_a_shard_that_cannot_be_read_gets_later_even_if_it_was_at_its_tip(world: World) -> None:
    world.start_worker()
    world.run(60)
    world.faults.errors.extend([("GetRecords", "InternalServerError")] * 1_000)
    world.run(600)
    assert lag_of(world) == pytest.approx(600, abs=3)


def test_a_shard_that_is_not_read_for_want_of_a_trusted_lease_gets_later_even_if_it_was_at_its_tip(
    world: World,
) -> None:
    world.start_worker()
    world.run(60)
    world.rows.lost_requests = 10**6
    world.run(600)
    assert 600 - TRUSTED_SECONDS - 1 <= lag_of(world) <= 600
    world.rows.lost_requests = 0
    world.run(30)
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


def test_the_worst_shard_is_told_with_the_hours_that_are_left() -> None:
    metrics = Metrics()
    report = LagReport(metrics, ShownHealth())
    report.update([Lag("a", None), Lag("b", EPOCH - 3 * HOUR), Lag("c", EPOCH - HOUR)], EPOCH)
    values = values_of(metrics)
    assert values["StreamLag"] == 3 * HOUR
    assert values["HoursToTrim"] == 21


def test_twenty_hours_late_is_an_alarm_with_the_time_left_once_an_hour() -> None:
    health = ShownHealth()
    report = LagReport(Metrics(), health)
    with structlog.testing.capture_logs() as logs:
        for seconds in range(0, 7_200, 60):
            report.update([Lag("a", EPOCH - 20.5 * HOUR)], EPOCH + seconds)
    assert [(line["event"], line["log_level"], line["shard_id"]) for line in logs] == [
        ("audit_trim_near", "error", "a")
    ] * 2
    assert logs[0]["hours_left"] == 3.5
    assert "until unread records are trimmed" in health.degraded["stream lag"]
    report.update([Lag("a", None)], EPOCH)
    assert health.degraded == {}


def test_a_task_without_shards_says_nothing_about_lag() -> None:
    metrics = Metrics()
    LagReport(metrics, ShownHealth()).update([], EPOCH)
    assert "StreamLag" not in values_of(metrics)


def test_what_no_task_reads_is_late_and_counted(new_world: Callable[[int], World]) -> None:
    world = new_world(4)
    first = world.start_worker()
    world.run(30)
    world.stop(first)
    world.time += HOUR
    second = world.start_worker()
    world.run(1)
    values = values_of(second.metrics)
    assert HOUR <= values["StreamLag"] <= HOUR + 60
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


def test_the_row_of_a_shard_says_how_late_it_is() -> None:
    row = new_lease("arn", "shardId-1", frozenset(), now=EPOCH, tracked_since=EPOCH)
    assert lag_by_row(row, EPOCH + HOUR, 10).seconds(EPOCH + HOUR) == HOUR, "never read: since its start"
    read = replace(row, position=Position("5", EPOCH + 60))
    assert lag_by_row(read, EPOCH + HOUR, 10).seconds(EPOCH + HOUR) == HOUR - 60, "since its last record"
    quiet = replace(read, read_until=EPOCH + HOUR - 9)
    assert lag_by_row(quiet, EPOCH + HOUR, 10).seconds(EPOCH + HOUR) == 0, "caught up at the last renewal"
    assert lag_by_row(quiet, EPOCH + HOUR, 5).seconds(EPOCH + HOUR) == 9
