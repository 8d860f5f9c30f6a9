"""Lease rows that somebody removes or breaks: nothing is lost, and it is shown."""

from collections.abc import Callable

from tests.streams.test_shard_reader import expire
from tests.streams.world import World


def test_a_row_that_was_removed_by_hand_is_made_again_and_read_from_its_oldest_record(world: World) -> None:
    expire(world, 3)
    world.start_worker()
    world.run(10)
    world.rows.rows.clear()
    world.run(60)
    expire(world, 3, start=3)
    world.run(10)
    assert world.missing() == []
    assert world.gaps == []
    assert len(world.repeats()) == 3
    assert any(line["event"] == "lease_lost" and line["level"] == "warning" for line in world.logs)


def test_a_row_that_cannot_be_read_is_shown_while_it_lasts(new_world: Callable[[int], World]) -> None:
    world = new_world(2)
    worker = world.start_worker()
    world.run(5)
    key = min(world.rows.rows)
    checkpoint = world.rows.rows[key].pop("checkpoint")
    world.run(60)
    assert key in worker.degraded()["lease rows"]
    world.rows.rows[key]["checkpoint"] = checkpoint
    world.run(60)
    assert worker.degraded() == {}
    expire(world, 10)
    world.run(20)
    assert world.missing() == []
