"""The transitions half in simulated worlds: nothing is lost, wrong or rejected for nothing, and it drains."""

import pytest

from tests.transitions.world import named
from tests.transitions.world.plans import plan_of
from tests.transitions.world.task import SimulatedTask
from tests.transitions.world.world import Plan, World

SEEDS = 200
_A_TEST = 20
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first", range(0, SEEDS, _A_TEST))
def test_whatever_is_drawn_the_laws_hold(first: int) -> None:
    for seed in range(first, first + _A_TEST):
        try:
            World(seed, plan_of(seed), SimulatedTask).run()
        except Exception as error:
            error.add_note(f"make worlds SEEDS={seed}:{seed + 1}")
            raise


@pytest.mark.parametrize(
    "plan",
    [
        named.AN_OUTAGE_LONGER_THAN_THE_TTL,
        named.FOUR_HOURS_WITHOUT_THE_QUEUE,
        named.AN_INDEX_THAT_REFUSES_EVERY_WRITE,
        named.AN_INDEX_THAT_REFUSES_FILE_NAMES,
        named.A_QUEUE_THAT_IS_REFUSED_AT_THE_START,
        named.A_TABLE_THAT_IS_REFUSED_FOR_AN_HOUR,
    ],
    ids=[
        "an outage longer than the TTL",
        "four hours without the queue",
        "an index that refuses every write",
        "an index that refuses file names",
        "a queue that is refused at the start",
        "a table that is refused for an hour",
    ],
)
def test_a_world_with_a_story_ends_well(plan: Plan) -> None:
    World(1, plan, SimulatedTask).run()


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = (World(3, plan_of(3), SimulatedTask) for _ in range(2))
    first.run()
    second.run()
    assert first.sqs.deleted == second.sqs.deleted
    assert dict(first.table.calls) == dict(second.table.calls)
