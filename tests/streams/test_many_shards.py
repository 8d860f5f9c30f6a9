"""Discovery of a hot table: many shards, many tasks, and listings that fail in the middle."""

from collections.abc import Callable

from tests.streams.test_listing_rate import busiest_second
from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.world import World


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
    world.faults.errors.extend([("DescribeStream", "AccessDeniedException")] * 1_000)
    expire(world, 20)
    world.start_worker()
    assert world.run(10, until=lambda: world.missing() == [])
    world.faults.errors.clear()
    world.run(5)
    assert_all_taken_once(world)


def test_a_stream_that_cannot_be_listed_keeps_no_other_from_being_listed(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(1)
    world.start_worker()
    world.run(10)
    old = world.table.current.arn
    new = world.table.enable_stream().arn
    world.faults.refused_streams.add(old)
    world.run(60)
    assert {lease.stream_arn for lease in world.leases().values()} == {old, new}
