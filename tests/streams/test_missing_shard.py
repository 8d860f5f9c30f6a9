"""A shard that AWS does not find: closed for good reasons only, and it holds up its children for an hour."""

from collections.abc import Callable

import pytest

from processor.streams.missing_shard import must_be_trimmed
from processor.streams.shards import Listing, Shard
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.world import World

HOUR = 3_600.0
NOW = 1_795_000_000.0
ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"


def shard_id(hours_ago: float | None) -> str:
    """The id of a shard that began then."""
    if hours_ago is None:
        return "shard-of-an-emulator"
    return f"shardId-{int((NOW - hours_ago * HOUR) * 1_000):020d}-{int(hours_ago * 10):08x}"


def hours(world: World, count: float, *, each: Callable[[], None] = lambda: None) -> None:
    """So many hours pass; the stream forgets what is older than a day."""
    for _ in range(round(count * 4)):
        each()
        world.run(60)
        world.time += HOUR / 4 - 60
        world.trim()


@pytest.mark.slow
def test_a_parent_that_is_listed_for_a_day_and_not_found_loses_no_record_of_its_children(
    world: World,
) -> None:
    world.start_worker()
    expire(world, 3)
    world.run(5)
    parent = only_shard(world)
    world.faults.unreadable.add(parent)
    expire(world, 3, start=3)
    (child,) = world.table.roll(parent)
    world.table.lists_trimmed_shards = True
    start = 10

    def export_more() -> None:
        nonlocal start
        expire(world, 1, start=start)
        start += 1

    hours(world, 0.75, each=export_more)
    assert world.leases()[child].owner is None, "the parent may come back"
    hours(world, 0.5, each=export_more)
    assert world.leases()[child].owner is not None, "the child is read after an hour"
    assert not world.leases()[parent].finished
    hours(world, 24.5, each=export_more)
    assert world.leases()[parent].finished
    (gap,) = world.gaps
    assert (gap["reason"], gap["shard_id"]) == ("shard_gone", parent)
    taken = {entry.request_id for entry in world.emitted}
    assert {f"export-{number}" for number in range(10, start)} <= taken
    assert world.repeats() == []


def test_a_shard_that_is_not_found_for_ten_minutes_loses_nothing_and_closes_nothing(world: World) -> None:
    world.start_worker()
    expire(world, 3)
    world.run(5)
    parent = only_shard(world)
    world.faults.unreadable.add(parent)
    expire(world, 3, start=3)
    world.table.split(parent)
    expire(world, 6, start=6)
    world.run(600)
    assert not world.leases()[parent].finished
    assert not world.leases()[parent].passed
    world.faults.unreadable.clear()
    world.run(90)
    assert_all_taken_once(world)


def test_a_shard_that_comes_back_after_its_children_started_is_read_to_its_end(world: World) -> None:
    world.start_worker()
    world.run(5)
    parent = only_shard(world)
    world.faults.unreadable.add(parent)
    expire(world, 3)
    world.table.roll(parent)
    world.table.write("later")
    hours(world, 1.5)
    assert [entry.request_id for entry in world.emitted] == ["later"]
    world.faults.unreadable.clear()
    world.run(90)
    assert world.leases()[parent].finished
    assert world.missing() == []
    assert world.gaps == []


def test_while_no_shard_of_the_stream_can_be_read_nothing_is_concluded(world: World) -> None:
    world.start_worker()
    world.run(5)
    parent = only_shard(world)
    children = world.table.split(parent)
    world.faults.unreadable |= {parent, *children}
    hours(world, 3)
    assert not world.leases()[parent].passed
    assert not world.leases()[parent].finished


@pytest.mark.parametrize(
    ("own", "children", "trimmed"),
    [
        (30.0, [25.0], True),
        (30.0, [23.0], False),
        (60.0, [25.0, 23.5], True),
        (49.0, [], True),
        (47.0, [], False),
        # Ids that tell no time.
        (None, [None], False),
        (60.0, [None], False),
    ],
)
def test_a_shards_records_are_trimmed_a_day_after_its_end(
    own: float | None, children: list[float | None], trimmed: bool
) -> None:
    parent = shard_id(own)
    shards = [Shard(parent), *(Shard(shard_id(each), parent_id=parent) for each in children)]
    listing = Listing(ARN, {shard.shard_id: shard for shard in shards}, 0.0)
    assert must_be_trimmed(parent, listing, NOW) is trimmed
