"""One shard is read without loss, without repeats and without haste, whatever the API answers."""

from collections.abc import Callable

import pytest

from processor.streams.consumer import STALLED_SECONDS
from tests.streams.worker import FAILOVER_SECONDS
from tests.streams.world import World, values_of

HOUR = 3_600.0


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


def test_a_page_without_a_removal_moves_the_checkpoint(world: World) -> None:
    for _ in range(1_000):
        world.table.write("a", "MODIFY")
    world.start_worker()
    world.run(8)
    (lease,) = world.leases().values()
    last = world.table.open_shards()[0].records[-1]["dynamodb"]["SequenceNumber"]
    assert lease.position.sequence_number == last


@pytest.mark.parametrize("null_iterator", [True, False])
@pytest.mark.parametrize("end_apart", [True, False])
def test_the_last_page_of_a_closed_shard_is_taken_whether_its_end_comes_with_it_or_after_it(
    world: World, null_iterator: bool, end_apart: bool
) -> None:
    world.faults.null_iterator, world.faults.end_apart = null_iterator, end_apart
    expire(world, 5)
    world.table.roll(only_shard(world))
    world.start_worker()
    world.run(10)
    assert_all_taken_once(world)
    assert [lease.finished for lease in world.leases().values()] == [True, False]


def test_five_hundred_empty_pages_are_neither_an_end_nor_a_loss_nor_a_flood(world: World) -> None:
    expire(world, 3)
    world.faults.empty_pages = 500
    worker = world.start_worker()
    world.run(480)
    assert world.faults.empty_pages > 0
    assert len(worker.client.reads[only_shard(world)]) < 500
    world.run(60)
    assert_all_taken_once(world)


def test_the_empty_pages_of_a_closed_shard_are_passed_at_full_rate(world: World) -> None:
    expire(world, 3)
    world.table.roll(only_shard(world))
    world.faults.empty_pages = 200
    world.start_worker()
    world.run(200 / 4 + 10)
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


@pytest.mark.parametrize("taken", [0, 4])
def test_an_iterator_that_expires_before_the_next_record_begins_again_at_the_same_place(
    world: World, taken: int
) -> None:
    expire(world, taken)
    worker = world.start_worker()
    world.run(5)
    worker.client.expire_iterators()
    expire(world, 4, start=taken)
    world.run(5)
    assert_all_taken_once(world)


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


def test_a_shard_that_is_missing_for_a_moment_is_not_closed(world: World) -> None:
    expire(world, 2)
    world.start_worker()
    world.run(5)
    shard_id = only_shard(world)
    world.table.drop_shard(shard_id)
    world.run(FAILOVER_SECONDS / 2)
    world.table.restore_shard(shard_id)
    expire(world, 2, start=2)
    world.run(60)
    assert_all_taken_once(world)


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
    assert worker.lease_events() == ["lease_taken"]
    assert len(worker.client.reads[only_shard(world)]) < 900


@pytest.mark.parametrize("code", ["InternalServerError", "RequestTimeout", "LimitExceededException"])
def test_a_failed_read_is_tried_again_with_the_same_iterator(world: World, code: str) -> None:
    worker = world.start_worker()
    world.run(2)
    iterators = worker.client.calls["GetShardIterator"]
    world.faults.errors.extend([("GetRecords", code)] * 3)
    expire(world, 3)
    world.run(30)
    assert_all_taken_once(world)
    assert worker.client.calls["GetShardIterator"] == iterators


def test_a_read_that_is_refused_begins_anew_and_is_shown_until_it_works(world: World) -> None:
    worker = world.start_worker()
    world.run(2)
    world.faults.errors.extend([("GetRecords", "ValidationException")] * 6)
    expire(world, 3)
    world.run(5)
    assert any(name.startswith("shard ") for name in worker.degraded())
    world.run(120)
    assert_all_taken_once(world)
    assert worker.degraded() == {}


def test_missing_access_is_shown_at_once_and_ends_when_it_is_given(world: World) -> None:
    worker = world.start_worker()
    world.run(2)
    world.faults.errors.extend([("GetRecords", "AccessDeniedException")] * 4)
    expire(world, 3)
    world.run(1.5)
    assert any(name.startswith("shard ") for name in worker.degraded())
    world.run(120)
    assert_all_taken_once(world)
    assert worker.degraded() == {}


def test_a_sink_that_is_down_for_longer_than_iterators_live_costs_nothing(world: World) -> None:
    worker = world.start_worker()
    expire(world, 20)
    world.faults.max_records = 10
    world.sink_is_down = True
    world.run(5)
    reads = len(worker.client.reads[only_shard(world)])
    world.run(1_200)
    again = len(worker.client.reads[only_shard(world)]) - reads
    assert again <= 1_200 / STALLED_SECONDS, "one page at a time, no more is read"
    assert "audit recording" in worker.degraded()
    world.sink_is_down = False
    world.run(90)
    assert_all_taken_once(world)
    assert worker.degraded() == {}


def test_numbers_of_different_length_keep_their_order(world: World) -> None:
    world.faults.max_records = 50
    expire(world, 500)
    lengths = {len(record["dynamodb"]["SequenceNumber"]) for _, record in world.table.removals()}
    assert lengths == {21, 22}
    worker = world.start_worker()
    for _ in range(10):
        world.run(1)
        worker.client.expire_iterators()
    world.run(30)
    assert_all_taken_once(world)


def test_a_page_without_sequence_numbers_is_refused_and_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(world, 2)
    worker = world.start_worker()
    good = worker.client.get_records

    def get_records(**arguments: object) -> dict[str, object]:
        answer = good(**arguments)
        for record in answer["Records"]:
            record["dynamodb"] = {}
        return answer

    monkeypatch.setattr(worker.client, "get_records", get_records)
    world.run(20)
    assert world.emitted == []
    assert any(name.startswith("shard ") for name in worker.degraded())
    monkeypatch.undo()
    world.run(60)
    assert_all_taken_once(world)


@pytest.mark.parametrize("method", ["get_records", "get_shard_iterator", "describe_stream"])
def test_an_answer_without_what_it_must_hold_is_asked_for_again_and_nothing_is_concluded_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    worker = world.start_worker()
    if method == "get_records":
        world.run(5)
    empty: list[dict[str, object]] = [{}, {}]
    good = getattr(worker.client, method)
    monkeypatch.setattr(
        worker.client, method, lambda **arguments: empty.pop() if empty else good(**arguments)
    )
    expire(world, 3)
    world.run(90)
    assert empty == []
    assert [lease.finished for lease in world.leases().values()] == [False]
    assert_all_taken_once(world)
    assert worker.degraded() == {}


def test_children_that_an_answer_does_not_hold_are_found_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.start_worker()
    world.run(5)
    world.table.split(only_shard(world))
    expire(world, 5)
    empty: list[dict[str, object]] = [{}, {}]
    good = worker.client.describe_stream
    monkeypatch.setattr(
        worker.client, "describe_stream", lambda **arguments: empty.pop() if empty else good(**arguments)
    )
    world.run(60)
    assert empty == []
    assert_all_taken_once(world)
