"""Pages in memory are bounded whatever the number of shards, and begun work is never dropped for room."""

from collections.abc import Callable

import pytest

from processor.streams.page_budget import CHANGE_BYTES, PAGE_BYTES, RECORD_BYTES, PageBudget, memory_of
from tests.simulated_stream.model import number_of
from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.world import World


def test_there_is_room_for_as_many_pages_as_fit_and_for_one_always() -> None:
    budget = PageBudget(2 * PAGE_BYTES)
    assert [budget.reserve(page) for page in "abc"] == [True, True, False]
    budget.keep("a", 100)
    assert not budget.reserve("c")
    budget.keep("a", 0)
    assert budget.reserve("c")
    assert PageBudget(0).reserve("a")


def test_only_pages_with_removals_take_memory() -> None:
    removal = {"eventName": "REMOVE", "dynamodb": {"SizeBytes": 500}}
    change = {"eventName": "MODIFY", "dynamodb": {"SizeBytes": 500}}
    assert memory_of([change] * 1_000) == 0
    assert memory_of([removal, change]) == RECORD_BYTES + 2_000 + CHANGE_BYTES
    assert memory_of([{"eventName": "REMOVE", "dynamodb": {"SizeBytes": 10**9}}]) == PAGE_BYTES


def test_an_entry_that_can_go_nowhere_holds_its_shard_and_takes_no_memory_from_others(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(4)
    world.page_bytes, world.has_quarantine = PAGE_BYTES, False
    world.poison.add("poison")
    worker = world.start_worker()
    world.run(10)
    held = world.table.shard_of("poison")
    expire(world, 20)
    world.run(5)
    world.table.write("poison")
    world.run(5)
    expire(world, 40, start=20)
    world.run(20)
    taken = {entry.audit_id for entry in world.emitted}
    removals = world.table.removals()
    assert {record["eventID"] for shard, record in removals if shard is not held} <= taken, "others are read"
    unread = min(number_of(record) for _, record in removals if record["eventID"] not in taken)
    last = int(world.leases()[held.shard_id].position.sequence_number or 0)
    assert last == max(number_of(each) for each in held.written if number_of(each) < unread), (
        "as far as it got"
    )
    assert "SQS_EXPORT_EVENTS_DLQ_URL" in worker.degraded()[f"shard {held.shard_id}"]


@pytest.mark.slow
def test_while_the_sink_is_down_few_shards_hold_a_page_and_then_all_are_read(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(20)
    world.page_bytes = PAGE_BYTES + 4 * RECORD_BYTES
    worker = world.start_worker()
    world.run(20)
    world.sink_is_down = True
    expire(world, 200)
    world.run(5)
    worker.client.reads.clear()
    world.run(30)
    assert sum(map(len, worker.client.reads.values())) == 0, "what is held fills the budget"
    world.sink_is_down = False
    world.run(120)
    assert_all_taken_once(world)
