"""Tasks come, go, stand still and are killed: shards change hands, no checkpoint runs ahead."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.streams.consumer import worker_id
from tests.simulated_stream.model import number_of
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.worker import FAILOVER_SECONDS
from tests.streams.world import World

NewWorld = Callable[[int], World]


def test_a_crash_between_the_childs_row_and_the_parents_end_starts_no_child_and_makes_no_second_row(
    world: World,
) -> None:
    first = world.start_worker()
    expire(world, 3)
    world.run(5)
    parent, check = only_shard(world), world.rows.after_write
    (child,) = world.table.roll(parent)

    def fail_after_the_childs_row(key: str, before: Any, after: Any) -> None:
        check(key, before, after)
        if key.endswith(child):
            world.rows.lost_requests = 1_000

    world.rows.after_write = fail_after_the_childs_row
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


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_answers_of_renewals_checkpoints_and_ends_that_get_lost_cost_nothing(world: World, lost: int) -> None:
    world.start_worker()
    world.run(5)
    for number in range(12):
        world.rows.lost_answers = lost
        expire(world, 2, start=2 * number)
        if number % 4 == 3:
            world.table.roll(only_shard(world))
        world.run(7)
    world.run(30)
    assert_all_taken_once(world)
    assert not [line for line in world.logs if line["event"] == "lease_lost"]


def test_a_task_that_stands_still_in_a_put_takes_up_nothing_after_it(new_world: NewWorld) -> None:
    world = new_world(1)
    first = world.start_worker()
    world.run(5)
    second = world.start_worker()
    expire(world, 10)

    def stand_still() -> None:
        world.run(FAILOVER_SECONDS + 5)

    world.on_interrupt = stand_still
    world.run(40)
    assert first.readers == {}
    assert len(second.readers) == 1
    # The first one's put went no further (the world checks each entry); the second began at the checkpoint.
    assert world.missing() == []
    world.check_order()


def test_what_was_taken_before_a_failed_checkpoint_appears_again_with_the_same_ids(world: World) -> None:
    first = world.start_worker()
    world.run(5)
    world.rows.lost_requests = 1_000
    expire(world, 3)
    world.run(2)
    assert len(world.emitted) == 3
    world.kill(first)
    world.rows.lost_requests = 0
    world.start_worker()
    world.run(FAILOVER_SECONDS + 10)
    ids = [entry.audit_id for entry in world.emitted]
    assert ids[:3] == ids[3:]
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


def test_from_one_task_to_four_the_shards_are_shared_and_then_stay(new_world: NewWorld) -> None:
    world = new_world(10)
    world.start_worker()
    world.run(10)
    for _ in range(3):
        world.start_worker()
    world.run(60)
    assert sorted(world.owners().values()) == [2, 2, 3, 3]
    moves = len([line for line in world.logs if line["event"] == "lease_taken"])
    expire(world, 50)
    world.run(300)
    assert len([line for line in world.logs if line["event"] == "lease_taken"]) == moves, "no ping-pong"
    assert_all_taken_once(world)


def test_shards_are_handed_over_without_a_repeat_while_exports_expire(new_world: NewWorld) -> None:
    world = new_world(8)
    world.faults.max_records = 3
    world.start_worker()
    world.run(5)
    for number in range(30):
        expire(world, 10, start=10 * number)
        if number in {3, 9, 15}:
            world.start_worker()
        world.run(2)
    world.run(60)
    assert sorted(world.owners().values()) == [2, 2, 2, 2]
    assert_all_taken_once(world)


def test_a_hundred_finished_shards_do_not_count_in_the_shares(world: World) -> None:
    first = world.start_worker()
    for _ in range(100):
        world.table.roll(only_shard(world))
    world.run(400, until=lambda: sum(lease.finished for lease in world.leases().values()) == 100)
    for _ in range(2):
        world.table.split(world.table.open_shards()[0].shard_id)
    world.table.split(world.table.open_shards()[0].shard_id)
    world.start_worker()
    world.run(60)
    assert sorted(world.owners().values()) == [2, 2]
    assert first.name in world.owners()


def test_who_asked_for_a_shard_and_died_costs_one_failover_time(new_world: NewWorld) -> None:
    world = new_world(2)
    first = world.start_worker()
    world.run(5)
    second = world.start_worker()
    world.run(30, until=lambda: any(lease.requested_by for lease in world.leases().values()))
    world.kill(second)
    expire(world, 20)
    world.run(2 * FAILOVER_SECONDS + 10)
    assert len(first.readers) == 2
    assert_all_taken_once(world)


@pytest.mark.parametrize("child_is_listed", [True, False])
def test_an_end_that_was_not_written_because_the_lease_was_released_meanwhile_is_neither_told_nor_a_loss(
    world: World, child_is_listed: bool
) -> None:
    world.child_look_seconds = 0.0  # the first look is the last
    first = world.start_worker()
    world.run(5)
    parent, describe = only_shard(world), first.client.describe_stream
    world.faults.child_delay_seconds = 0.0 if child_is_listed else 15.0
    (lease,) = first.readers
    released: list[str] = []

    def look(**arguments: Any) -> dict[str, Any]:
        answer = describe(**arguments)
        if "ShardFilter" in arguments and not released:
            lease.release()
            released.append(lease.row.key)
        return answer

    first.client.describe_stream = look  # type: ignore[method-assign]
    world.table.roll(parent)
    assert world.run(20, until=lambda: not first.readers)
    assert released == [lease.row.key], "in the call that looks for the children"
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
    foreign = {
        "leaseKey": {"S": "shardId-00000001541626099285-f35f62ef"},
        "leaseCounter": {"N": "3"},
        "checkpoint": {"S": "TRIM_HORIZON"},
    }
    world.rows.rows[foreign["leaseKey"]["S"]] = dict(foreign)
    other_table = "arn:aws:dynamodb:us-east-1:123456789012:table/other/stream/2026-11-01T00:00:00.000"
    stranger = dict(foreign) | {
        "leaseKey": {"S": "other/stream/x"},
        "shardId": {"S": "shard-1"},
        "x_streamArn": {"S": other_table},
    }
    world.rows.rows["other/stream/x"] = dict(stranger)
    world.start_worker()
    expire(world, 3)
    world.run(30)
    assert world.rows.rows[foreign["leaseKey"]["S"]] == foreign
    assert world.rows.rows["other/stream/x"] == stranger
    assert len(world.emitted) == 3
