"""Streams and shards are found whole, in order, and nothing is concluded from an error."""

from collections.abc import Callable

import pytest

from processor.streams.api import StreamApi
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.worker import FAILOVER_SECONDS
from tests.streams.world import World

HOUR = 3_600.0


def described(world: World) -> StreamApi:
    """The API over the world's stream."""
    return StreamApi(SimulatedStreamsClient(world.table, world.faults), world.clock)


def test_two_hundred_and_fifty_shards_on_three_pages_are_all_found(new_world: Callable[[int], World]) -> None:
    world = new_world(250)
    listing = described(world).describe(world.table.current.arn)
    assert len(listing.shards) == 250
    assert listing.complete
    world.start_worker()
    world.run(5)
    assert len(world.leases()) == 250


def test_a_cursor_that_comes_back_ends_the_listing_and_leaves_it_incomplete(
    new_world: Callable[[int], World],
) -> None:
    world = new_world(5)
    world.faults.describe_page = 2
    world.faults.repeats_cursor = True
    api = described(world)
    listing = api.describe(world.table.current.arn)
    assert not listing.complete
    assert len(listing.shards) == 2


def test_an_empty_page_with_a_new_cursor_is_gone_past(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    client = SimulatedStreamsClient(world.table, world.faults)
    answers: list[dict[str, object]] = [
        {"StreamDescription": {"Shards": [], "LastEvaluatedShardId": "a"}},
        {"StreamDescription": {"Shards": [{"ShardId": "b"}]}},
    ]
    monkeypatch.setattr(client, "describe_stream", describe_stream_answering(answers))
    listing = StreamApi(client).describe("arn")
    assert (list(listing.shards), listing.complete) == (["b"], True)


def test_every_page_of_a_tables_streams_is_read(
    monkeypatch: pytest.MonkeyPatch, new_world: Callable[[int], World]
) -> None:
    world = new_world(1)
    client = SimulatedStreamsClient(world.table, world.faults)
    first, second = "arn-1", "arn-2"
    asked: list[object] = []

    def list_streams(**arguments: object) -> dict[str, object]:
        asked.append(arguments.get("ExclusiveStartStreamArn"))
        if arguments.get("ExclusiveStartStreamArn") == first:
            return {"Streams": [{"StreamArn": second}]}
        return {"Streams": [{"StreamArn": first}], "LastEvaluatedStreamArn": first}

    monkeypatch.setattr(client, "list_streams", list_streams)
    assert StreamApi(client).list_streams("t") == (frozenset({first, second}), True)
    assert asked == [None, first]


def test_a_cursor_of_streams_that_comes_back_ends_the_paging_and_proves_no_stream_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    old = world.table.current.arn
    new = world.table.enable_stream().arn
    calls = 0

    def list_streams(**_arguments: object) -> dict[str, object]:
        nonlocal calls
        calls += 1
        assert calls < 100, "the paging must end"
        return {"Streams": [{"StreamArn": new}], "LastEvaluatedStreamArn": new}

    monkeypatch.setattr(worker.client, "list_streams", list_streams)
    world.table.lose_stream(old)
    world.run(90)
    assert calls > 0
    assert calls % 2 == 0, "each look asks twice, and then knows the cursor"
    assert world.gaps == [], "an incomplete answer says of no stream that it was replaced"
    assert all(not lease.gap_reported for lease in world.leases().values())
    monkeypatch.undo()
    world.table.restore_stream(old)
    expire(world, 3, start=3)
    world.run(200)
    assert world.missing() == []


def describe_stream_answering(answers: list[dict[str, object]]) -> Callable[..., dict[str, object]]:
    """A DescribeStream that gives these answers, one after the other."""

    def describe_stream(**_arguments: object) -> dict[str, object]:
        return answers.pop(0)

    return describe_stream


def test_a_parent_without_a_listed_end_is_still_read_to_its_end_before_its_child(world: World) -> None:
    world.faults.hidden_ends = True
    world.faults.max_records = 3
    expire(world, 10)
    world.table.roll(only_shard(world))
    expire(world, 5)
    world.start_worker()
    world.run(60)
    assert_all_taken_once(world)


@pytest.mark.parametrize("ignores_filter", [True, False])
def test_a_child_that_is_listed_thirty_seconds_late_is_read_within_seconds_of_that(
    world: World, ignores_filter: bool
) -> None:
    world.faults.ignores_filter = ignores_filter
    world.faults.child_delay_seconds = 30.0
    world.start_worker()
    world.run(5)
    split = world.time
    world.table.split(only_shard(world))
    expire(world, 10)
    assert world.run(60, until=lambda: len(world.emitted) == 10)
    assert world.time - split < 30 + 5
    assert_all_taken_once(world)


def test_children_are_found_at_once_at_their_parents_end(world: World) -> None:
    world.start_worker()
    world.run(5)
    for _ in range(3):
        split = world.time
        world.table.split(world.table.open_shards()[0].shard_id)
        expire(world, 5)
        before = len(world.emitted)
        assert world.run(30, until=lambda before=before: len(world.emitted) == before + 5)  # type: ignore[misc]
        assert world.time - split < 3
    assert_all_taken_once(world)


def test_a_stream_that_is_disabled_is_read_to_its_end_and_its_rows_are_kept(world: World) -> None:
    worker = world.start_worker()
    world.run(5)
    expire(world, 5)
    world.table.disable_stream()
    world.run(60)
    assert_all_taken_once(world)
    assert [lease.finished for lease in world.leases().values()] == [True]
    assert "disabled" in worker.degraded()["streams"]


def test_a_new_stream_is_read_after_the_old_one_is_read_to_its_end(world: World) -> None:
    expire(world, 10)
    world.faults.max_records = 2
    world.table.enable_stream()
    expire(world, 10)
    world.start_worker()
    world.run(120)
    assert_all_taken_once(world)
    streams = [entry.source.stream_arn for entry in world.emitted]
    assert streams == sorted(streams)
    assert len(set(streams)) == 2


def test_a_stream_that_is_made_anew_is_told_once_with_both_names(world: World) -> None:
    expire(world, 3)
    workers = [world.start_worker()]
    world.run(5)
    old = world.table.current.arn
    new = world.table.enable_stream().arn
    world.run(120)
    workers.append(world.start_worker())
    world.run(120)
    told = [line for line in world.logs if line["event"] == "stream_replaced"]
    assert told == [
        {
            "event": "stream_replaced",
            "level": "warning",
            "old_stream_arn": old,
            "new_stream_arn": new,
        }
    ]


def test_a_new_stream_that_is_held_back_for_minutes_is_shown_with_what_it_waits_for(world: World) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    old = world.table.current.arn
    world.sink_is_down = True
    expire(world, 3, start=3)
    new = world.table.enable_stream().arn
    world.run(200)
    assert "stream order" not in worker.degraded(), "for a while that is as it should be"
    world.run(200)
    assert worker.degraded()["stream order"] == (f"stream {new} waits for stream {old} to be read to its end")
    world.sink_is_down = False
    world.run(200)
    assert worker.degraded() == {}
    assert_all_taken_once(world)


def test_an_old_stream_that_only_lease_rows_know_is_told_as_lost_and_the_new_one_goes_on(
    world: World,
) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    old = world.table.current.arn
    world.kill(worker)
    expire(world, 2, start=3)
    world.table.enable_stream()
    world.table.lose_stream(old)
    expire(world, 2, start=5)
    world.start_worker()
    world.run(60)
    assert [(gap["reason"], gap["stream_arn"]) for gap in world.gaps] == [("stream_gone", old)]
    assert [lease.finished for lease in world.leases().values() if lease.stream_arn == old] == [False]
    assert [entry.request_id for entry in world.emitted][3:] == ["export-5", "export-6"]
    assert world.missing() == []
    world.start_worker()
    world.run(60)
    assert len(world.gaps) == 1, "the loss is told once, not at each start"


def test_a_shard_that_is_held_when_its_stream_goes_is_given_up(world: World) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    old = world.table.current.arn
    world.faults.errors.extend([("GetRecords", "InternalServerError")] * 4)
    expire(world, 2, start=3)
    world.table.enable_stream()
    world.table.lose_stream(old)
    expire(world, 2, start=5)
    assert any(lease.row.stream_arn == old for lease in worker.readers)
    world.run(90)
    assert not [lease for lease in worker.readers if lease.row.stream_arn == old]
    assert [
        (lease.finished, lease.owner) for lease in world.leases().values() if lease.stream_arn == old
    ] == [(False, None)]
    assert [(gap["reason"], gap["stream_arn"]) for gap in world.gaps] == [("stream_gone", old)]
    assert [entry.request_id for entry in world.emitted][3:] == ["export-5", "export-6"]
    assert worker.degraded() == {}
    assert world.missing() == []


def test_the_next_stream_waits_for_a_page_that_was_read_before_its_stream_was_lost(world: World) -> None:
    holder = world.start_worker()
    world.run(5)
    old = world.table.current.arn
    world.blocked_shards.add(only_shard(world))
    world.table.write("a")
    world.run(2)
    world.table.enable_stream()
    world.table.write("a")
    world.table.lose_stream(old)
    other = world.start_worker()
    is_known_as_gone = world.run(120, until=lambda: any(gap["reason"] == "stream_gone" for gap in world.gaps))
    assert is_known_as_gone
    world.run(5)
    assert any(lease.row.stream_arn == old for lease in holder.readers), "the holder has not let go yet"
    world.blocked_shards.clear()
    assert world.run(60, until=lambda: len(world.emitted) == 2)
    world.check_order()
    assert not other.degraded()


def test_an_old_stream_that_is_not_found_for_a_moment_is_read_to_its_end(world: World) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    old = world.table.current.arn
    world.kill(worker)
    expire(world, 2, start=3)
    world.table.enable_stream()
    world.table.lose_stream(old)
    expire(world, 2, start=5)
    second = world.start_worker()
    assert world.run(10, until=lambda: "does not exist" in second.degraded().get("streams", ""))
    world.run(FAILOVER_SECONDS / 2)
    world.table.restore_stream(old)
    world.run(200)
    assert_all_taken_once(world)


def test_an_old_stream_that_was_read_to_its_end_before_it_went_is_no_loss(world: World) -> None:
    expire(world, 3)
    world.start_worker()
    world.run(5)
    old = world.table.current.arn
    world.table.enable_stream()
    world.run(40)
    world.table.lose_stream(old)
    expire(world, 3, start=3)
    world.run(60)
    assert_all_taken_once(world)


def test_a_finished_row_goes_two_days_after_its_shard_is_no_longer_listed(world: World) -> None:
    first = only_shard(world)
    expire(world, 3)
    world.start_worker()
    world.table.roll(first)
    world.run(20)
    world.time += 25 * HOUR
    world.trim()
    world.run(60)
    assert first in world.leases(), "it is unlisted, but finished only a day ago"
    world.time += 24 * HOUR
    world.run(60)
    assert first not in world.leases()
    assert world.missing() == []


def test_what_is_lost_after_every_row_was_finished_for_days_is_told_even_if_a_listing_fails(
    world: World,
) -> None:
    worker = world.start_worker()
    world.run(5)
    world.table.disable_stream()
    assert world.run(60, until=lambda: all(lease.finished for lease in world.leases().values()))
    world.kill(worker)
    old = world.table.current.arn
    world.time += 20 * HOUR
    world.table.enable_stream()
    world.table.lose_stream(old)
    expire(world, 3)
    world.time += 30 * HOUR
    world.trim()
    world.faults.errors.append(("DescribeStream", "AccessDeniedException"))
    world.start_worker()
    world.run(120)
    assert [gap["reason"] for gap in world.gaps] == ["unread_past_retention"]
    assert world.missing() == []


def test_a_table_without_a_stream_is_shown_until_it_has_one(world: World) -> None:
    arn = world.table.current.arn
    world.table.lose_stream(arn)
    worker = world.start_worker()
    world.run(10)
    assert "no stream" in worker.degraded()["streams"]
    world.table.restore_stream(arn)
    world.run(60)
    expire(world, 2)
    world.run(10)
    assert worker.degraded() == {}
    assert_all_taken_once(world)


def test_a_stream_without_old_images_is_shown_and_audited_by_its_keys(world: World) -> None:
    world.table.current.view_type = "KEYS_ONLY"
    worker = world.start_worker()
    world.run(5)
    expire(world, 2)
    world.run(5)
    assert "NEW_AND_OLD_IMAGES" in worker.degraded()["streams"]
    assert [line["event"] for line in world.logs].count("stream_view_incomplete") == 1
    assert_all_taken_once(world)


def test_a_listing_that_fails_is_tried_again_and_what_is_held_goes_on(world: World) -> None:
    worker = world.start_worker()
    world.run(5)
    world.faults.errors.extend(
        [("ListStreams", "ThrottlingException"), ("DescribeStream", "InternalServerError")] * 5
    )
    expire(world, 3)
    world.run(400)
    assert_all_taken_once(world)
    assert worker.degraded() == {}
