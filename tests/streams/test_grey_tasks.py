"""No shard stays unread next to a task that could read it."""

from collections.abc import Callable

import pytest

from processor.streams.consumer import STALLED_SECONDS
from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.world import World

NewWorld = Callable[[int], World]
MINUTE = 60.0


def test_free_shards_are_read_within_five_seconds_while_a_stopping_task_holds_one(
    new_world: NewWorld,
) -> None:
    world = new_world(10)
    first = world.start_worker()
    world.run(5)
    second = world.start_worker()
    world.run(60)
    assert len(first.readers) == len(second.readers) == 5
    slow = next(iter(first.readers)).row.shard_id
    world.blocked_shards.add(slow)
    expire(world, 40)
    world.run(2)
    first.stop(world.time + 25)
    assert world.run(5, until=lambda: len(second.readers) == 9), "all but the one that is still held"
    world.run(15)
    assert len(first.readers) == 1, "it has its time"


@pytest.mark.slow
def test_a_task_whose_route_to_the_sink_is_cut_is_relieved_of_its_shards(new_world: NewWorld) -> None:
    world = new_world(4)
    first, second = world.start_worker(), world.start_worker()
    world.run(60)
    assert len(first.readers) == len(second.readers) == 2
    world.cut_off.add(first.name)
    expire(world, 40)
    assert world.run(6 * MINUTE, until=lambda: world.missing() == []), "another task reads its shards"
    assert world.repeats() == []
    for number in range(20):
        expire(world, 4, start=100 + 4 * number)
        world.run(MINUTE)
    world.run(6 * MINUTE)
    assert world.missing() == []
    world.check_order()


@pytest.mark.slow
def test_a_sink_that_was_away_for_all_for_an_hour_is_used_within_a_minute(new_world: NewWorld) -> None:
    world = new_world(4)
    workers = [world.start_worker() for _ in range(2)]
    world.run(60)
    world.sink_is_down = True
    expire(world, 20)
    world.run(5)
    for worker in workers:
        worker.client.reads.clear()
    world.run(60 * MINUTE)
    assert world.emitted == []
    reads = sum(len(times) for worker in workers for times in worker.client.reads.values())
    assert reads <= 4 * 60 * MINUTE / STALLED_SECONDS, "one page of a shard at a time, no more is read"
    world.sink_is_down = False
    assert world.run(MINUTE, until=lambda: world.missing() == [])
    assert_all_taken_once(world)


def test_a_task_that_gave_its_shard_up_in_an_outage_sees_its_end(new_world: NewWorld) -> None:
    world = new_world(1)
    workers = [world.start_worker(), world.start_worker()]
    world.run(60)
    world.sink_is_down = True
    expire(world, 3)
    world.run(STALLED_SECONDS + 20)
    world.sink_is_down = False
    world.run(2 * MINUTE)
    assert_all_taken_once(world)
    assert [worker.degraded() for worker in workers] == [{}, {}]
    told = [line["event"] for line in world.logs if line["event"].startswith("audit_sink_")]
    assert told == ["audit_sink_down"] * 2 + ["audit_sink_up"] * 2


def test_a_stop_ends_a_mass_take(new_world: NewWorld) -> None:
    world = new_world(60)
    worker = world.start_worker()
    world.run(60, until=lambda: len(world.leases()) == 60)
    world.on_lease_write = lambda: worker.stop(world.time + 25)
    world.run(5)
    assert sum(line["event"] == "lease_taken" for line in world.logs) <= 1
    world.run(25, until=lambda: worker.has_ended)
    assert worker.consumer.join().clean
    assert all(lease.owner is None for lease in world.leases().values())


@pytest.mark.slow
@pytest.mark.parametrize("longer", [0, 1])
def test_the_larger_failover_time_counts_in_a_rolling_deployment(new_world: NewWorld, longer: int) -> None:
    world = new_world(6)
    seconds = (3.0, 30.0)
    first = world.start_worker(failover_seconds=seconds[longer])
    world.run(10)
    second = world.start_worker(failover_seconds=seconds[1 - longer])
    world.run(300)
    assert len(first.readers) == len(second.readers) == 3
    assert not [line for line in world.logs if line["event"] == "lease_lost"]
    assert sum(line["event"] == "lease_taken" for line in world.logs) == 6 + 3
