"""Streams are asked about seldom enough, however many tasks and shards there are."""

import itertools
from collections.abc import Callable

import pytest

from processor.streams.rate_limiter import RateLimiter
from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.worker import Worker
from tests.streams.world import World

pytestmark = pytest.mark.slow


def test_tasks_that_start_together_do_not_look_in_step(new_world: Callable[[int], World]) -> None:
    world = new_world(2)
    workers = [world.start_worker() for _ in range(2)]
    world.run(400)
    first, second = (worker.client.called_at["DescribeStream"][1:12] for worker in workers)
    assert len(first) == len(second) == 11
    in_step = [pair for pair in zip(first, second, strict=True) if abs(pair[0] - pair[1]) < 0.5]
    assert len(in_step) <= 5


def busiest_second(workers: list[Worker], operation: str) -> int:
    """The most calls that these workers together made within one second."""
    times = sorted(at for worker in workers for at in worker.client.called_at[operation])
    return max(sum(begin <= at < begin + 1.0 for at in times[index:]) for index, begin in enumerate(times))


@pytest.mark.parametrize("child_delay", [0.0, 1.0, 5.0])
def test_forty_shards_that_roll_over_at_once_cost_four_tasks_few_listings(
    new_world: Callable[[int], World], child_delay: float
) -> None:
    world = new_world(40)
    world.faults.child_delay_seconds = child_delay
    workers = [world.start_worker() for _ in range(4)]
    world.run(60)
    assert sorted(world.owners().values()) == [10, 10, 10, 10]
    for worker in workers:
        worker.client.called_at.clear()
    rolled = world.time
    children = [child for shard in world.table.open_shards() for child in world.table.roll(shard.shard_id)]
    expire(world, 200)
    assert world.run(30, until=lambda: set(children) <= set(world.leases()))
    assert world.time - rolled < child_delay + 5
    world.run(60)
    assert busiest_second(workers, "DescribeStream") <= 5
    assert busiest_second(workers, "ListStreams") <= 5
    assert_all_taken_once(world)


def test_turns_are_apart_by_at_least_the_pace_and_differ_by_chance(world: World) -> None:
    pacer = RateLimiter(1.0, world.clock)
    turns: list[float] = []
    while len(turns) < 50:
        wait = pacer.take()
        if wait == 0:
            turns.append(world.time)
        world.time += wait
    apart = [second - first for first, second in itertools.pairwise(turns)]
    assert all(1.0 <= each <= 1.5 for each in apart)
    assert len({round(each, 3) for each in apart}) > 10


def test_ten_tasks_list_a_stream_of_twelve_pages_within_three_minutes(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(60)
    world.faults.describe_page = 5  # as many calls as 1,200 shards need
    workers = [world.start_worker() for _ in range(10)]
    assert world.run(180, until=lambda: all(worker.consumer.discovery_age < world.time for worker in workers))
    assert busiest_second(workers, "DescribeStream") <= 15
    for worker in workers:
        worker.client.called_at.clear()
    world.run(120)
    calls = sum(len(worker.client.called_at["DescribeStream"]) for worker in workers)
    assert calls / 120 <= 5


def test_a_page_that_is_throttled_is_asked_for_again_and_not_the_listing(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(9)
    world.faults.describe_page = 2
    worker = world.start_worker()
    assert world.run(10, until=lambda: worker.client.calls["DescribeStream"] == 3)
    world.faults.errors.append(("DescribeStream", "LimitExceededException"))
    assert world.run(30, until=lambda: len(world.leases()) == 9)
    assert worker.client.calls["DescribeStream"] == 5 + 1


def test_what_rows_name_is_read_before_the_first_listing(new_world: Callable[[int], World]) -> None:
    world = new_world(4)
    first = world.start_worker()
    world.run(10)
    world.stop(first)
    world.faults.errors.extend([("ListStreams", "AccessDeniedException")] * 1_000)
    expire(world, 20)
    world.start_worker()
    assert world.run(10, until=lambda: world.missing() == [])
    world.faults.errors.clear()
    world.run(5)
    assert_all_taken_once(world)


def test_a_stream_that_cannot_be_listed_keeps_no_other_from_being_listed(world: World) -> None:
    world.start_worker()
    world.run(10)
    old = world.table.current.arn
    new = world.table.enable_stream().arn
    world.faults.refused_streams.add(old)
    world.run(60)
    assert {lease.stream_arn for lease in world.leases().values()} == {old, new}
