"""Streams and shards are found whole, in order, and nothing is concluded from an error."""

from typing import Any

import pytest

from processor.streams.api import StreamApi
from tests.streams.test_shard_reader import assert_all_taken_once, expire, only_shard
from tests.streams.worker import FAILOVER_SECONDS
from tests.streams.world import World

HOUR = 3_600.0


class Answers:
    """A client that gives these answers, one after the other."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)

    def list_streams(self, **_arguments: Any) -> dict[str, Any]:
        """ListStreams."""
        return self._answers.pop(0)

    def describe_stream(self, **_arguments: Any) -> dict[str, Any]:
        """DescribeStream."""
        return {"StreamDescription": self._answers.pop(0)}


def test_a_cursor_that_comes_back_ends_the_paging_and_an_empty_page_with_a_new_one_does_not() -> None:
    first, second = {"ShardId": "a"}, {"ShardId": "b"}
    whole = StreamApi(Answers({"Shards": [], "LastEvaluatedShardId": "a"}, {"Shards": [second]}))
    listing = whole.describe("arn")
    assert (list(listing.shards), listing.complete) == (["b"], True)
    page = {"Shards": [first], "LastEvaluatedShardId": "a"}
    listing = StreamApi(Answers(page, page)).describe("arn")
    assert (list(listing.shards), listing.complete) == (["a"], False)


def test_every_page_of_a_tables_streams_is_read_and_a_cursor_that_comes_back_ends_the_paging() -> None:
    page = {"Streams": [{"StreamArn": "arn-1"}], "LastEvaluatedStreamArn": "arn-1"}
    last = {"Streams": [{"StreamArn": "arn-2"}]}
    assert StreamApi(Answers(page, last)).list_streams("t") == (frozenset({"arn-1", "arn-2"}), True)
    assert StreamApi(Answers(page, page)).list_streams("t") == (frozenset({"arn-1"}), False)


def test_an_incomplete_list_of_streams_proves_no_stream_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    old, new = world.table.current.arn, world.table.enable_stream().arn
    answer = {"Streams": [{"StreamArn": new}], "LastEvaluatedStreamArn": new}
    monkeypatch.setattr(worker.client, "list_streams", lambda **_arguments: answer)
    world.table.lose_stream(old)
    world.run(90)
    monkeypatch.undo()
    world.table.restore_stream(old)
    expire(world, 3, start=3)
    world.run(200)
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
    for count in (5, 10, 15):
        split = world.time
        parent = world.table.open_shards()[0].shard_id
        children = world.table.split(parent)
        expire(world, 5)
        assert world.run(3, until=lambda count=count: len(world.emitted) == count)  # type: ignore[misc]
        assert world.time - split < 3
        assert world.leases()[parent].children == set(children)
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


def test_a_new_stream_is_told_once_and_shown_with_what_it_waits_for_while_that_takes_minutes(
    world: World,
) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    world.sink_is_down = True
    expire(world, 3, start=3)
    old, new = world.table.current.arn, world.table.enable_stream().arn
    expire(world, 3, start=6)
    world.run(200)
    assert "stream order" not in worker.degraded(), "for a while that is as it should be"
    world.run(200)
    assert worker.degraded()["stream order"] == (f"stream {new} waits for stream {old} to be read to its end")
    world.sink_is_down = False
    world.run(200)
    other = world.start_worker()
    world.run(60)
    assert worker.degraded() == other.degraded() == {}
    assert_all_taken_once(world)
    assert {entry.source.stream_arn for entry in world.emitted[6:]} == {new}
    told = [line for line in world.logs if line["event"] == "stream_replaced"]
    assert [(line["old_stream_arn"], line["new_stream_arn"]) for line in told] == [(old, new)]


def test_an_old_stream_that_only_lease_rows_know_is_told_as_lost_once_and_the_new_one_goes_on(
    world: World,
) -> None:
    expire(world, 3)
    worker = world.start_worker()
    world.run(5)
    world.kill(worker)
    old = world.table.current.arn
    expire(world, 2, start=3)
    world.table.enable_stream()
    world.table.lose_stream(old)
    expire(world, 2, start=5)
    for _ in range(2):
        world.start_worker()
        world.run(60)
    assert [(gap["reason"], gap["stream_arn"]) for gap in world.gaps] == [("stream_gone", old)]
    assert [lease.finished for lease in world.leases().values() if lease.stream_arn == old] == [False]
    assert [entry.request_id for entry in world.emitted][3:] == ["export-5", "export-6"]
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
    worker = world.start_worker()
    world.run(5)
    world.kill(worker)
    old = world.table.current.arn
    expire(world, 2)
    world.table.enable_stream()
    world.table.lose_stream(old)
    expire(world, 2, start=2)
    second = world.start_worker()
    assert world.run(10, until=lambda: "does not exist" in second.degraded().get("streams", ""))
    world.run(FAILOVER_SECONDS / 2)
    world.table.restore_stream(old)
    world.run(200)
    assert_all_taken_once(world)


def test_an_earlier_stream_that_is_listed_not_found_and_without_rows_holds_no_other_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = world.table.current.arn
    world.table.enable_stream()
    world.table.streams[old].shards.clear()
    worker = world.start_worker()
    listed = worker.client.list_streams()
    world.table.lose_stream(old)
    with monkeypatch.context() as patch:
        patch.setattr(worker.client, "list_streams", lambda **_: listed)
        expire(world, 3)
        world.run(60)
        assert world.missing() == []
    world.run(60)
    assert worker.degraded() == {}


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
    world.run(35)
    assert "NEW_AND_OLD_IMAGES" in worker.degraded()["streams"]
    assert [line["event"] for line in world.logs].count("stream_view_incomplete") == 1
    assert_all_taken_once(world)
