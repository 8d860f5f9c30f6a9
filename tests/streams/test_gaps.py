"""What was lost before it was read is told with its bounds, and nothing else is."""

from dataclasses import replace

import pytest

from processor.streams.leases.lease import Position, new_lease
from processor.streams.progress import start_may_be_trimmed
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.worker import EPOCH
from tests.streams.world import World, values_of

HOUR = 3_600.0


def test_a_trimmed_position_is_told_with_both_ends_and_its_hours_and_reading_goes_on(world: World) -> None:
    expire(world, 2)
    worker = world.start_worker()
    world.run(10)
    last = world.leases()[only_shard(world)].position.sequence_number
    world.kill(worker)
    expire(world, 2, start=2)
    world.time += 30 * HOUR
    world.trim()
    expire(world, 2, start=4)
    first = world.table.open_shards()[0].records[0]["dynamodb"]["SequenceNumber"]
    world.start_worker()
    world.run(20)
    (gap,) = world.gaps
    assert gap["reason"] == "trimmed"
    assert (gap["shard_id"], gap["last_sequence_number"], gap["first_sequence_number"]) == (
        only_shard(world),
        last,
        first,
    )
    assert gap["hours"] == pytest.approx(30, abs=0.1)
    (worker,) = world.workers.values()
    assert values_of(worker.metrics)["AuditGaps"] == 1
    assert [entry.request_id for entry in world.emitted] == ["export-0", "export-1", "export-4", "export-5"]
    assert world.missing() == []


def test_an_oldest_record_that_is_trimmed_again_and_again_is_tried_without_haste(world: World) -> None:
    expire(world, 1)
    world.faults.errors.extend([("GetRecords", "TrimmedDataAccessException")] * 8)
    worker = world.start_worker()
    world.run(300)
    assert_all_taken_once(world)
    reads = worker.client.reads[only_shard(world)][:9]
    assert reads[-1] - reads[0] > 30


def test_a_reader_that_could_not_read_an_empty_shard_for_a_day_tells_what_it_may_have_missed(
    world: World,
) -> None:
    worker = world.start_worker()
    world.run(60)
    last_seen = world.now()
    world.faults.errors.extend([("GetRecords", "AccessDeniedException")] * 100_000)
    world.run(30)
    expire(world, 3)
    world.time += 25 * HOUR
    world.trim()
    world.faults.errors.clear()
    expire(world, 2, start=3)
    world.run(120)
    (gap,) = world.gaps
    first = world.table.open_shards()[0].records[0]["dynamodb"]["SequenceNumber"]
    assert (gap["reason"], gap["last_sequence_number"], gap["first_sequence_number"]) == (
        "unread_past_retention",
        None,
        first,
    )
    assert gap["hours"] == pytest.approx((world.now() - 120 - last_seen) / HOUR, abs=0.02)
    assert [entry.request_id for entry in world.emitted] == ["export-3", "export-4"]
    assert world.missing() == []
    assert len(worker.readers) == 1, "the same reader, in the same process"


def test_an_empty_shard_that_is_read_all_day_tells_no_gap(world: World) -> None:
    world.start_worker()
    for _ in range(60):
        world.run(2)
        world.time += 0.5 * HOUR
        world.trim()
    expire(world, 2)
    world.run(20)
    assert_all_taken_once(world)


@pytest.mark.parametrize(("minutes", "gaps"), [(1, []), (10, ["shard_gone"])])
def test_a_shard_that_is_gone_minutes_after_the_first_start_held_nothing_that_is_missed(
    world: World, minutes: int, gaps: list[str]
) -> None:
    parent = only_shard(world)
    world.table.roll(parent)
    world.faults.unreadable.add(parent)
    world.start_worker()
    world.run(60 * minutes)
    world.table.drop_shard(parent)
    world.run(120)
    assert world.leases()[parent].finished
    assert [gap["reason"] for gap in world.gaps] == gaps


def test_a_first_start_on_a_table_with_an_old_stream_tells_no_gap(world: World) -> None:
    expire(world, 3)
    world.time += 30 * HOUR
    world.trim()
    expire(world, 2, start=3)
    world.start_worker()
    world.run(30)
    assert world.gaps == []
    assert [entry.request_id for entry in world.emitted] == ["export-3", "export-4"]


@pytest.mark.parametrize(
    ("began_hours_ago", "tracked_hours_ago", "position", "may_be_trimmed"),
    [
        (495_000, 100, None, False),  # an emulator's id shows another time, or none
        (None, 100, None, False),
        (30, 0.01, None, False),  # the first start on an old table
        (23, 100, None, False),
        (24, 100, None, True),
        (30, 1, None, True),
        (30, 100, "1", False),  # it was read before, so AWS says what is trimmed
    ],
)
def test_a_shard_first_read_after_its_retention_may_have_lost_its_beginning(
    began_hours_ago: float | None, tracked_hours_ago: float, position: str | None, may_be_trimmed: bool
) -> None:
    began_at = 0 if began_hours_ago is None else int((EPOCH - began_hours_ago * HOUR) * 1_000)
    shard_id = f"shardId-{began_at:020d}-0a1b2c3d" if began_at else "shard-1"
    tracked_since = EPOCH - tracked_hours_ago * HOUR
    lease = new_lease("arn", shard_id, frozenset(), now=EPOCH - 0.01, tracked_since=tracked_since)
    assert start_may_be_trimmed(replace(lease, position=Position(position)), EPOCH) is may_be_trimmed
