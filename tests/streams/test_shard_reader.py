"""One shard is read without loss, without repeats and without haste, whatever the API answers."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.streams.shard_reader import CHECKPOINT_SECONDS
from tests.streams.worker import FAILOVER_SECONDS, Worker
from tests.streams.world import World, values_of

HOUR = 3_600.0
Answer = dict[str, Any]


def expire(world: World, count: int, start: int = 0) -> None:
    """So many exports leave the table, each with a life of its own before."""
    for number in range(start, start + count):
        world.table.write(f"export-{number}", "INSERT")
        world.table.write(f"export-{number}", "MODIFY")
        world.table.write(f"export-{number}")


def assert_all_taken_once(world: World) -> None:
    """Nothing is missing, nothing came twice, nothing was out of order, no gap was told."""
    assert world.missing() == []
    assert world.repeats() == []
    assert world.gaps == []
    world.check_order()
    world.check_rate()


def only_shard(world: World) -> str:
    """The id of the one open shard."""
    (shard,) = world.table.open_shards()
    return shard.shard_id


def only_worker(world: World) -> Worker:
    """The one task."""
    (worker,) = world.workers.values()
    return worker


def test_a_page_without_a_removal_moves_the_checkpoint(world: World) -> None:
    for _ in range(1_000):
        world.table.write("a", "MODIFY")
    world.start_worker()
    world.run(8)
    (lease,) = world.leases().values()
    last = world.table.open_shards()[0].records[-1]["dynamodb"]["SequenceNumber"]
    assert lease.position.sequence_number == last


def test_the_position_behind_entries_is_in_the_row_within_seconds_and_not_written_more_often(
    world: World,
) -> None:
    world.start_worker(failover_seconds=60.0)  # renewals are rare
    world.run(10)
    written: list[float] = []
    check = world.rows.after_write

    def note(key: str, before: Any, after: Any) -> None:
        check(key, before, after)
        if before["checkpoint"] != after["checkpoint"]:
            written.append(world.time)

    world.rows.after_write = note
    for number in range(60):
        expire(world, 1, start=number)
        world.run(0.5)
    world.run(CHECKPOINT_SECONDS + 1)
    assert 30 / (CHECKPOINT_SECONDS + 1) <= len(written) <= 30 / CHECKPOINT_SECONDS + 2
    assert_all_taken_once(world)


def test_full_pages_are_read_four_times_a_second_and_an_idle_shard_once(world: World) -> None:
    worker = world.start_worker()
    world.run(10)
    idle = len(worker.client.reads[only_shard(world)])
    world.faults.max_records = 10
    expire(world, 200)
    world.run(10)
    busy = len(worker.client.reads[only_shard(world)]) - idle
    assert idle <= 13
    assert 35 <= busy <= 41
    world.check_rate()


def test_an_iterator_that_expires_in_the_middle_of_a_shard_skips_and_repeats_nothing(world: World) -> None:
    world.faults.max_records = 5
    expire(world, 30)
    worker = world.start_worker()
    for _ in range(20):
        world.run(0.7)
        worker.client.expire_iterators()
    world.run(30)
    assert_all_taken_once(world)


def test_a_shard_that_is_gone_is_closed_after_two_listings_a_failover_time_apart(world: World) -> None:
    shard_id = only_shard(world)
    expire(world, 2)
    worker = world.start_worker()
    world.run(5)
    last = world.leases()[shard_id].position.sequence_number
    (child,) = world.table.roll(shard_id)
    expire(world, 2, start=2)
    lost = world.time
    world.table.drop_shard(shard_id)
    world.run(60, until=lambda: world.leases()[shard_id].finished)
    assert world.time - lost >= FAILOVER_SECONDS
    (gap,) = world.gaps
    assert (gap["reason"], gap["shard_id"], gap["last_sequence_number"]) == ("shard_gone", shard_id, last)
    assert values_of(worker.metrics)["AuditGaps"] == 1
    world.run(10)
    assert world.leases()[child].position.sequence_number is not None
    assert world.missing() == []


def test_a_shard_that_an_incomplete_listing_lacks_is_not_closed(new_world: Callable[[int], World]) -> None:
    world = new_world(5)
    worker = world.start_worker()
    world.run(5)
    before = world.leases()
    world.faults.describe_page, world.faults.repeats_cursor = 2, True
    gone = [shard.shard_id for shard in world.table.open_shards()[2:4]]
    for shard_id in gone:
        world.table.drop_shard(shard_id)
    world.run(6 * FAILOVER_SECONDS)
    assert worker.client.called_at["DescribeStream"], "the listings were asked for"
    assert [lease.finished for lease in world.leases().values()] == [False] * 5
    assert world.gaps == []
    for shard_id in gone:
        world.table.restore_shard(shard_id)
    expire(world, 20)
    world.run(60)
    assert world.leases().keys() == before.keys()
    assert_all_taken_once(world)


def test_a_stream_that_is_missing_closes_nothing_and_removes_nothing(world: World) -> None:
    expire(world, 2)
    worker = world.start_worker()
    world.run(5)
    before = world.leases()
    arn = world.table.current.arn
    world.table.lose_stream(arn)
    for _ in range(49):
        world.run(60)
        world.time += HOUR
    assert {key: (lease.finished, lease.position) for key, lease in world.leases().items()} == {
        key: (False, lease.position) for key, lease in before.items()
    }
    assert world.gaps == []
    assert any("stream" in name for name in worker.degraded())
    world.table.restore_stream(arn)
    expire(world, 2, start=2)
    world.run(90)
    assert_all_taken_once(world)
    assert worker.degraded() == {}


def test_throttling_backs_off_with_the_lease_kept(world: World) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(2)
    world.faults.errors.extend([("GetRecords", "ThrottlingException")] * 20)
    expire(world, 3, start=3)
    world.run(900)
    assert_all_taken_once(world)
    leases = [line["event"] for line in world.logs if line["event"].startswith("lease_")]
    assert leases == ["lease_taken"]
    assert len(worker.client.reads[only_shard(world)]) < 900


@pytest.mark.parametrize(
    ("is_closed", "pages", "seconds"), [(False, 500, 480 + 60), (True, 200, 200 / 4 + 10)]
)
def test_empty_pages_are_neither_an_end_nor_a_loss_and_those_of_a_closed_shard_are_passed_at_full_rate(
    world: World, *, is_closed: bool, pages: int, seconds: float
) -> None:
    expire(world, 3)
    if is_closed:
        world.table.roll(only_shard(world))
    world.faults.empty_pages = pages
    world.start_worker()
    world.run(seconds)
    assert_all_taken_once(world)


@pytest.mark.parametrize(
    ("code", "times", "is_shown"),
    [
        ("InternalServerError", 3, False),
        ("RequestTimeout", 3, False),
        ("ValidationException", 6, True),
        ("AccessDeniedException", 4, True),
    ],
)
def test_a_read_that_fails_is_repeated_and_what_operators_must_mend_is_shown_until_it_works(
    world: World, code: str, times: int, *, is_shown: bool
) -> None:
    worker = world.start_worker()
    world.run(2)
    iterators = worker.client.calls["GetShardIterator"]
    world.faults.errors.extend([("GetRecords", code)] * times)
    expire(world, 3)
    world.run(1.5)
    assert any(name.startswith("shard ") for name in worker.degraded()) is is_shown
    world.run(120)
    assert_all_taken_once(world)
    assert worker.degraded() == {}
    assert (worker.client.calls["GetShardIterator"] == iterators) is not is_shown, "the same iterator"


def without_numbers(answer: Answer) -> Answer:
    """An answer whose records lack their sequence numbers."""
    return answer | {"Records": [record | {"dynamodb": {}} for record in answer["Records"]]}


@pytest.mark.parametrize(
    ("method", "spoil"),
    [
        ("get_records", lambda _answer: {}),
        ("get_records", without_numbers),
        ("get_shard_iterator", lambda _answer: {}),
        ("describe_stream", lambda _answer: {}),
    ],
)
def test_an_answer_without_what_it_must_hold_is_asked_for_again_and_nothing_is_concluded_from_it(
    world: World, method: str, spoil: Callable[[Answer], Answer]
) -> None:
    worker = world.start_worker()
    if method == "get_records":
        world.run(5)
    good, spoilt = getattr(worker.client, method), 0

    def answer(**arguments: object) -> Answer:
        nonlocal spoilt
        whole: Answer = good(**arguments)
        if spoilt == 2 or spoil(whole) == whole:
            return whole
        spoilt += 1
        return spoil(whole)

    setattr(worker.client, method, answer)
    expire(world, 3)
    world.run(90)
    assert spoilt == 2
    assert [lease.finished for lease in world.leases().values()] == [False]
    assert_all_taken_once(world)
    assert worker.degraded() == {}
