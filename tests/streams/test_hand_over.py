"""Tasks come, go, stand still and are killed: shards change hands, no checkpoint runs ahead."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.streams.context import worker_id
from tests.simulated_stream.model import number_of
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.worker import FAILOVER_SECONDS
from tests.streams.world import World

NewWorld = Callable[[int], World]


def test_a_task_that_stands_still_in_a_put_takes_up_nothing_after_it(world: World) -> None:
    first = world.start_worker()
    world.run(5)
    second = world.start_worker()
    expire(world, 10)
    world.on_interrupt = lambda: world.run(FAILOVER_SECONDS + 5)
    world.run(40)  # the world checks that the first one's put goes no further
    assert (len(first.readers), len(second.readers)) == (0, 1)
    assert world.missing() == []


@pytest.mark.parametrize("off_by", [-3_600.0, 3_600.0])
def test_wall_clocks_an_hour_apart_expire_no_lease(new_world: NewWorld, off_by: float) -> None:
    world = new_world(4)
    world.start_worker()
    world.run(5)
    world.start_worker(clock_is_off_by=off_by)
    world.run(120)
    taken = [line["lease_key"] for line in world.logs if line["event"] == "lease_taken"]
    assert len(taken) == 4 + 2, "two are handed over, none is taken for dead"
    expire(world, 20)
    world.run(10)
    assert_all_taken_once(world)


def test_a_leases_table_that_fails_for_thirty_seconds_stops_reading_when_trust_ends(world: World) -> None:
    worker = world.start_worker()
    world.run(5)
    world.rows.lost_requests = 10_000
    failed = world.time
    world.run(2)
    expire(world, 2)
    world.run(2)
    assert len(world.emitted) == 2, "the lease is still trusted"
    world.run(failed + FAILOVER_SECONDS - world.time)
    expire(world, 2, start=2)
    world.run(18)
    assert len(world.emitted) == 2, "the lease is not trusted any more"
    world.rows.lost_requests = 0
    world.run(15)
    assert_all_taken_once(world)
    assert worker.degraded() == {}


def test_worker_names_are_never_used_twice() -> None:
    assert len({worker_id() for _ in range(1_000)}) == 1_000


def test_a_stop_finishes_the_page_writes_the_checkpoint_and_repeats_nothing(new_world: NewWorld) -> None:
    world = new_world(3)
    first, second = world.start_worker(), world.start_worker()
    world.run(20)
    expire(world, 60)
    stopped = world.time
    world.on_interrupt = lambda: first.stop(world.time + 22)
    world.run(30, until=lambda: first.is_stopping and first.has_ended)
    assert world.time - stopped < 5
    world.kill(first)
    assert world.run(5, until=lambda: len(second.readers) == 3), "the other goes on within five seconds"
    world.run(20)
    assert_all_taken_once(world)


def test_a_stop_with_the_sink_down_ends_in_time_and_leaves_the_page_to_the_next(world: World) -> None:
    first = world.start_worker()
    world.run(5)
    world.sink_is_down = True
    expire(world, 5)
    world.run(10)
    stopped = world.time
    first.stop(world.time + 10)
    assert world.run(10, until=lambda: not first.readers)
    assert world.time - stopped >= 8, "the sink is waited for"
    position = world.leases()[only_shard(world)].position.sequence_number
    numbers = [number_of(record) for record in world.table.open_shards()[0].records]
    assert int(position or 0) == numbers[1], "behind the records before the first removal"
    assert world.leases()[only_shard(world)].owner is None
    world.kill(first)
    world.sink_is_down = False
    world.start_worker()
    world.run(10)
    assert_all_taken_once(world)


def test_a_leases_table_that_comes_back_before_the_deadline_is_used_for_the_release(world: World) -> None:
    first = world.start_worker()
    world.run(5)
    expire(world, 5)
    world.run(3)
    world.rows.lost_requests = 10**6
    first.stop(world.time + 22)
    world.run(15)
    world.rows.lost_requests = 0
    assert world.run(1.1, until=lambda: not first.readers), "it is tried every second"
    assert world.leases()[only_shard(world)].owner is None


def test_after_a_kill_another_goes_on_after_the_failover_time(new_world: NewWorld) -> None:
    world = new_world(2)
    first = world.start_worker()
    second = world.start_worker()
    world.run(20)
    expire(world, 20)
    world.run(2)
    world.kill(first)
    killed = world.time
    assert world.run(60, until=lambda: len(second.readers) == 2)
    assert FAILOVER_SECONDS - 3.4 <= world.time - killed <= FAILOVER_SECONDS + 3
    expire(world, 20, start=20)
    world.run(20)
    assert world.missing() == []
    world.check_order()


@pytest.mark.slow
def test_from_one_task_to_four_the_shards_are_shared_and_then_stay(new_world: NewWorld) -> None:
    world = new_world(10)
    world.faults.max_records = 3
    for number in range(4):
        world.start_worker()
        world.run(3)
        expire(world, 20, start=20 * number)
    world.run(60)
    assert sorted(world.owners().values()) == [2, 2, 3, 3]
    moves = len([line for line in world.logs if line["event"] == "lease_taken"])
    expire(world, 50, start=80)
    world.run(300)
    assert len([line for line in world.logs if line["event"] == "lease_taken"]) == moves, "no ping-pong"
    assert_all_taken_once(world)


def test_a_crash_between_the_child_s_row_and_the_parent_s_end_starts_no_child_and_makes_no_second_row(
    world: World,
) -> None:
    first = world.start_worker()
    expire(world, 3)
    world.run(5)
    parent, check = only_shard(world), world.rows.after_write
    (child,) = world.table.roll(parent)

    def fail_after_the_child_s_row(key: str, before: Any, after: Any) -> None:
        check(key, before, after)
        if key.endswith(child):
            world.rows.lost_requests = 1_000

    world.rows.after_write = fail_after_the_child_s_row
    assert world.run(20, until=lambda: child in world.leases())
    world.run(1)
    world.kill(first)
    assert not world.leases()[parent].finished
    world.rows.lost_requests, world.rows.after_write = 0, check
    expire(world, 3, start=3)
    world.start_worker()
    world.run(40)
    assert world.leases()[parent].finished
    assert world.leases()[parent].children == {child}
    assert len(world.leases()) == 2
    assert_all_taken_once(world)


def test_an_end_that_was_not_written_because_the_lease_was_released_meanwhile_is_neither_told_nor_a_loss(
    world: World,
) -> None:
    first = world.start_worker()
    world.run(5)
    (lease,), parent, describe = first.readers, only_shard(world), first.client.describe_stream

    def look(**arguments: Any) -> dict[str, Any]:
        if "ShardFilter" in arguments:
            lease.release()
            del first.client.describe_stream
        return describe(**arguments)

    first.client.describe_stream = look  # type: ignore[method-assign]
    world.table.roll(parent)
    assert world.run(20, until=lambda: not first.readers)
    assert (world.leases()[parent].finished, world.leases()[parent].owner) == (False, None)
    assert not [line for line in world.logs if line["event"] in {"shard_finished", "lease_lost"}]
    assert world.run(60, until=lambda: world.leases()[parent].finished), "the next owner writes it"
    assert [line["event"] for line in world.logs if line["event"] == "shard_finished"] == ["shard_finished"]


@pytest.mark.parametrize("child_is_listed", [True, False])
def test_an_end_whose_answer_was_lost_and_that_a_renewal_finds_written_is_told(
    world: World, child_is_listed: bool
) -> None:
    worker = world.start_worker()
    world.run(5)
    (lease,), parent, check = worker.readers, only_shard(world), world.rows.after_write
    world.faults.child_delay_seconds = 0.0 if child_is_listed else 15.0

    def lose_the_answer_of_the_end(key: str, before: Any, after: Any) -> None:
        check(key, before, after)
        world.rows.lost_answers = int(after["checkpoint"]["S"] == "SHARD_END")

    world.rows.after_write = lose_the_answer_of_the_end
    (child,) = world.table.roll(parent)
    assert world.run(20, until=lambda: world.leases()[parent].finished)
    assert lease.trusted()
    lease.renew()
    assert lease.over
    assert world.run(25, until=lambda: child in {lease.row.shard_id for lease in worker.readers})
    world.run(1)
    finished = [line["lease_key"] for line in world.logs if line["event"] == "shard_finished"]
    assert finished == [lease.row.key]


def test_a_row_written_by_somebody_else_is_left_alone(world: World) -> None:
    row = {"leaseKey": {"S": "kcl"}, "leaseCounter": {"N": "3"}, "checkpoint": {"S": "TRIM_HORIZON"}}
    other_table = "arn:aws:dynamodb:us-east-1:123456789012:table/other/stream/2026-11-01T00:00:00.000"
    of_other_table = {"leaseKey": {"S": "x"}, "shardId": {"S": "1"}, "x_streamArn": {"S": other_table}}
    foreign = {"kcl": row, "x": row | of_other_table}
    world.rows.rows |= foreign
    world.start_worker()
    expire(world, 3)
    world.run(30)
    assert {key: world.rows.rows[key] for key in foreign} == foreign
    assert len(world.emitted) == 3
