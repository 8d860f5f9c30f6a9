"""Streams are asked about seldom enough, however many tasks and shards there are."""

import itertools
from collections.abc import Callable

import pytest

from processor.audit.delivery import Delivery
from processor.audit.removals import Removals
from processor.streams.api import StreamApi
from processor.streams.clocks import Clocks
from processor.streams.context import ReaderContext
from processor.streams.leases.table import LeaseTable
from processor.streams.rate_limiter import RateLimiter
from processor.streams.shard_end import ShardEnd
from processor.streams.shards import StreamState
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.worker import FAILOVER_SECONDS, Worker
from tests.streams.world import World

pytestmark = pytest.mark.slow


def test_ten_tasks_ask_about_the_stream_less_than_twice_a_second(new_world: Callable[[int], World]) -> None:
    world = new_world(20)
    workers = [world.start_worker() for _ in range(10)]
    world.run(60)
    before = sum(worker.client.calls["DescribeStream"] for worker in workers)
    world.run(300)
    calls = sum(worker.client.calls["DescribeStream"] for worker in workers) - before
    assert 0 < calls / 300 < 2


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


def test_forty_readers_of_a_stream_that_is_missing_ask_for_few_listings(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(40)
    worker = world.start_worker()
    world.run(10)
    world.table.lose_stream(world.table.current.arn)
    worker.client.called_at.clear()
    world.run(60)
    assert busiest_second([worker], "DescribeStream") <= 2


def test_a_shard_whose_children_are_listed_already_asks_for_no_listing_at_its_end(world: World) -> None:
    worker = world.start_worker()
    world.run(5)
    parent = only_shard(world)
    children = world.table.split(parent)
    arn = world.table.current.arn
    listing = StreamApi(SimulatedStreamsClient(world.table, world.faults), world.clock).describe(arn)
    context = ReaderContext(
        api=StreamApi(worker.client, world.clock),
        table=LeaseTable(world.rows, "leases"),
        processor=Removals(Delivery([], None, worker.metrics, worker.health)),
        metrics=worker.metrics,
        health=worker.health,
        failover_seconds=FAILOVER_SECONDS,
        listings=RateLimiter(60.0, world.clock),
        stream_state=lambda _arn: None,
        request_listing=lambda: None,
        expect_children=lambda _arn, _shard: None,
        on_shard_end=lambda: None,
        clocks=Clocks(world.clock, world.now, world.clock),
    )
    assert context.listings.take() == 0, "the turn is another's"
    (reader,) = worker.readers.values()
    worker.client.called_at.clear()
    end = ShardEnd(reader.lease, context)
    assert end.step(StreamState(arn)) is not None, "without a turn and a listing it waits"
    assert end.step(StreamState(arn, listing)) is None
    assert world.leases()[parent].finished
    assert world.leases()[parent].children == set(children)
    assert not worker.client.called_at["DescribeStream"]


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
