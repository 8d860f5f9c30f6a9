"""A shard's reader goes from phase to phase as the diagram in docs/architecture.md shows."""

from collections.abc import Callable

from processor.streams.shard_reader import Phase
from tests.streams.test_shard_reader import expire, only_shard, only_worker
from tests.streams.world import MOVES, World


def read_on(world: World) -> None:
    """A page is read and delivered."""
    expire(world, 3)
    world.run(5)


def end_a_shard(world: World) -> None:
    """A shard is read to its end."""
    world.table.roll(only_shard(world))
    world.run(20)


def lose_the_shard(world: World) -> None:
    """AWS has the shard no more."""
    parent = only_shard(world)
    world.table.roll(parent)
    world.table.drop_shard(parent)
    world.run(120)


def stop(world: World) -> None:
    """A stop while nothing is to be done."""
    world.stop(only_worker(world))


def sink_fails(world: World) -> None:
    """The sink is down."""
    world.sink_is_down = True


def stop_at_the_end(world: World) -> None:
    """A stop while the end of a shard looks for children."""
    world.faults.child_delay_seconds = 100.0
    world.table.roll(only_shard(world))
    (reader,) = only_worker(world).consumer.readers
    assert world.run(20, until=lambda: reader.phase is Phase.ENDING)
    stop(world)


def lose_the_lease(world: World) -> None:
    """The row is removed by hand."""
    world.rows.rows.clear()
    world.run(20)


def block(world: World) -> None:
    """An entry is refused, and there is no quarantine."""
    world.poison.add("poison")
    world.table.write("poison")
    world.run(5)


HISTORIES: list[list[Callable[[World], None]]] = [
    [end_a_shard],
    [lose_the_shard],
    [stop],
    [sink_fails, read_on, stop],
    [stop_at_the_end],
    [lose_the_lease],
    [sink_fails, read_on, lose_the_lease],
    [block, stop],
    [block, lose_the_lease],
]


def test_readers_make_all_moves_of_the_diagram_and_no_other(new_world: Callable[[int], World]) -> None:
    moves: set[tuple[Phase, Phase]] = set()
    for history in HISTORIES:
        world = new_world(1)
        world.has_quarantine = False
        world.start_worker()
        read_on(world)
        for happens in history:
            happens(world)
        moves |= world.moves
    assert moves == set(MOVES)
