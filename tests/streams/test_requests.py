"""A shard that one task asks another for: handed over, taken back, never left to nobody."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.worker import Worker
from tests.streams.world import World

NewWorld = Callable[[int], World]


def handed_over_to(world: World, name: str) -> bool:
    """Whether the row of a shard says that this worker owns it, before it has taken it."""
    held = {lease.row.key for worker in world.workers.values() for lease in worker.readers}
    return any(lease.owner == name and lease.key not in held for lease in world.leases().values())


def requested_by(world: World, name: str) -> bool:
    """Whether a shard is asked for by this worker."""
    return any(lease.requested_by == name for lease in world.leases().values())


def stop_that_costs_nothing(world: World, leaves: Worker, *, stays: Worker) -> None:
    """Stops a worker that asked for one of two shards; the other reads both on at once, without a repeat."""
    world.stop(leaves)
    assert not requested_by(world, leaves.name)
    assert not handed_over_to(world, leaves.name)
    expire(world, 20)
    assert world.run(4, until=lambda: len(world.emitted) == 20)
    world.run(30)
    assert len(stays.readers) == 2
    assert_all_taken_once(world)


@pytest.mark.parametrize("moment", [requested_by, handed_over_to])
def test_who_asked_for_a_shard_and_is_stopped_costs_no_failover_time(
    new_world: NewWorld, moment: Callable[[World, str], bool]
) -> None:
    world = new_world(2)
    first = world.start_worker()
    world.run(5)
    second = world.start_worker()
    assert world.run(30, until=lambda: moment(world, second.name))
    stop_that_costs_nothing(world, second, stays=first)


@pytest.mark.parametrize("meanwhile", ["renewed", "handed over"])
def test_a_request_is_taken_back_although_the_owner_writes_at_that_moment(
    new_world: NewWorld, meanwhile: str
) -> None:
    world = new_world(2)
    first = world.start_worker()
    world.run(5)
    second = world.start_worker()
    assert world.run(30, until=lambda: requested_by(world, second.name))
    (key,) = [lease.key for lease in world.leases().values() if lease.requested_by == second.name]
    (asked_for,) = [lease for lease in first.readers if lease.row.key == key]
    scan = world.rows.scan

    def write_after_the_scan(**arguments: Any) -> dict[str, Any]:
        answer = scan(**arguments)
        world.rows.scan = scan  # type: ignore[method-assign]
        if meanwhile == "renewed":
            asked_for.renew()
        else:
            asked_for.release(second.name)
        return answer

    world.rows.scan = write_after_the_scan  # type: ignore[method-assign]
    stop_that_costs_nothing(world, second, stays=first)


def test_who_is_stopped_while_the_owner_finishes_its_page_is_handed_nothing(new_world: NewWorld) -> None:
    world = new_world(2)
    first = world.start_worker()
    world.run(5)
    world.sink_is_down = True
    expire(world, 20)
    world.run(2)
    second = world.start_worker()
    assert world.run(30, until=lambda: requested_by(world, second.name))
    world.run(3)  # the owner has seen it, and holds the page
    world.stop(second)
    world.sink_is_down = False
    expire(world, 10, start=20)
    assert not world.run(30, until=lambda: handed_over_to(world, second.name))
    assert len(first.readers) == 2
    assert len(world.emitted) == 30
    assert_all_taken_once(world)


def test_a_request_in_a_row_without_an_owner_keeps_nobody_from_taking_it(world: World) -> None:
    first = world.start_worker()
    world.run(5)
    world.stop(first)
    world.rows.rows[next(iter(world.rows.rows))]["x_requestedBy"] = {"S": "one that is gone"}
    second = world.start_worker()
    assert world.run(10, until=lambda: len(second.readers) == 1)


def test_while_a_hand_over_takes_its_time_no_more_than_the_share_is_asked_for(new_world: NewWorld) -> None:
    world = new_world(4)
    world.start_worker()
    world.run(5)
    world.sink_is_down = True
    expire(world, 40)
    world.run(2)
    second = world.start_worker()
    world.run(8)
    asked = [lease for lease in world.leases().values() if lease.requested_by == second.name]
    assert len(asked) == 2
    world.sink_is_down = False
    world.run(60)
    assert sorted(world.owners().values()) == [2, 2]
    assert_all_taken_once(world)
