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


@pytest.mark.parametrize("plan", named.STORIES.values(), ids=named.STORIES)
def test_a_world_with_a_story_ends_well(plan: Plan) -> None:
    World(1, plan, SimulatedTask).run()


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = (World(3, plan_of(3), SimulatedTask) for _ in range(2))
    first.run()
    second.run()
    assert first.sqs.deleted == second.sqs.deleted
    assert dict(first.table.calls) == dict(second.table.calls)
