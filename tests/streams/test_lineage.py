"""Which shard may be read, which row may go, and when a start may have missed something."""

from dataclasses import replace

import pytest

from processor.streams.leases.lease import Lease, Position, lease_key, new_lease
from processor.streams.lineage import (
    parents_first,
    ready_leases,
    removable,
    start_may_be_trimmed,
    streams_that_wait,
)
from processor.streams.shards import Listing, Shard, StreamName, StreamState, by_age

OLD = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-20T10:00:00.000"
NEW = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
NOW = 1_795_400_000.0
HOUR = 3_600.0


def row(
    shard_id: str,
    parent: str | None = None,
    *,
    stream: str = NEW,
    finished: bool = False,
    ended_at: float = NOW - HOUR,
) -> Lease:
    """A lease row."""
    parents = frozenset() if parent is None else frozenset({parent})
    return Lease(
        key=lease_key(stream, shard_id),
        shard_id=shard_id,
        stream_arn=stream,
        finished=finished,
        parents=parents,
        ended_at=ended_at if finished else None,
    )


def listed(
    *shards: tuple[str, str | None], stream: str = NEW, started_at: float = 0.0, complete: bool = True
) -> StreamState:
    """A stream with a listing: (shard, parent)."""
    found = {shard_id: Shard(shard_id, parent) for shard_id, parent in shards}
    return StreamState(stream, Listing(stream, found, started_at, complete=complete))


def ready(
    *rows: Lease, streams: tuple[StreamState, ...], first_seen: dict[str, float] | None = None
) -> set[str]:
    """The shards that may be read."""
    known = {state.stream_arn: state for state in streams}
    return {lease.shard_id for lease in ready_leases(rows, known, first_seen or {}, NOW)}


def test_a_shard_without_parent_is_ready() -> None:
    assert ready(row("a"), streams=(listed(("a", None)),)) == {"a"}


def test_a_finished_shard_is_not() -> None:
    assert ready(row("a", finished=True), streams=(listed(("a", None)),)) == set()


def test_a_child_waits_for_its_parents_row_to_be_finished() -> None:
    family = listed(("a", None), ("b", "a"))
    assert ready(row("a"), row("b", "a"), streams=(family,)) == {"a"}
    assert ready(row("a", finished=True), row("b", "a"), streams=(family,)) == {"b"}


def test_of_three_generations_only_the_oldest_unfinished_one_is_ready() -> None:
    family = listed(("a", None), ("b", "a"), ("c", "b"))
    rows = [row("a"), row("b", "a"), row("c", "b")]
    assert ready(*rows, streams=(family,)) == {"a"}
    rows[0] = row("a", finished=True)
    assert ready(*rows, streams=(family,)) == {"b"}


def test_a_child_whose_parent_is_listed_but_has_no_row_yet_waits() -> None:
    assert ready(row("b", "a"), streams=(listed(("a", None), ("b", "a")),)) == set()


def test_a_child_whose_parent_is_neither_listed_nor_has_a_row_is_ready() -> None:
    assert ready(row("b", "a"), streams=(listed(("b", "a")),)) == {"b"}


def test_an_incomplete_listing_proves_no_absence() -> None:
    assert ready(row("b", "a"), streams=(listed(("b", "a"), complete=False),)) == set()


def test_a_listing_from_before_the_child_was_known_proves_no_absence() -> None:
    child = row("b", "a")
    older = listed(("x", None), started_at=100.0)
    assert ready(child, streams=(older,), first_seen={child.key: 101.0}) == set()
    assert ready(child, streams=(older,)) == set()


def test_a_listing_from_after_the_child_was_known_does_even_if_the_child_is_trimmed_too() -> None:
    child = row("b", "a")
    younger = listed(("x", None), started_at=102.0)
    assert ready(child, streams=(younger,), first_seen={child.key: 101.0}) == {"b"}


def test_what_a_row_names_is_ready_before_its_stream_is_known() -> None:
    assert ready(row("a"), streams=()) == {"a"}
    assert ready(row("a"), row("z", stream=OLD), streams=(listed(("a", None)),)) == {"z"}


def test_a_later_stream_waits_until_the_earlier_one_is_read_to_its_end() -> None:
    streams = (listed(("o", None), stream=OLD), listed(("n", None)))
    assert ready(row("o", stream=OLD), row("n"), streams=streams) == {"o"}
    assert ready(row("o", stream=OLD, finished=True), row("n"), streams=streams) == {"n"}


def test_an_earlier_stream_that_has_just_ended_may_still_show_a_child_so_the_later_one_waits() -> None:
    streams = (listed(("o", None), stream=OLD), listed(("n", None)))
    just_ended = row("o", stream=OLD, finished=True, ended_at=NOW - 30)
    assert ready(just_ended, row("n"), streams=streams) == set()


def test_an_earlier_stream_whose_rows_were_finished_by_hand_holds_nothing_up() -> None:
    streams = (listed(("o", None), stream=OLD), listed(("n", None)))
    by_hand = replace(row("o", stream=OLD, finished=True), ended_at=None)
    assert ready(by_hand, row("n"), streams=streams) == {"n"}


def test_a_later_stream_names_the_one_that_it_waits_for() -> None:
    streams = {state.stream_arn: state for state in (listed(("o", None), stream=OLD), listed(("n", None)))}
    assert streams_that_wait([row("o", stream=OLD), row("n")], streams, NOW) == {NEW: OLD}
    assert streams_that_wait([row("o", stream=OLD, finished=True), row("n")], streams, NOW) == {}


def test_an_earlier_stream_with_a_shard_that_has_no_row_yet_is_not_read_to_its_end() -> None:
    streams = (listed(("o", None), ("p", "o"), stream=OLD), listed(("n", None)))
    assert ready(row("o", stream=OLD, finished=True), row("n"), streams=streams) == set()


def test_an_earlier_stream_that_is_gone_holds_nothing_up_and_gives_nothing() -> None:
    streams = (StreamState(OLD, gone=True), listed(("n", None)))
    assert ready(row("o", stream=OLD), row("n"), streams=streams) == {"n"}


def test_a_later_stream_waits_for_the_holders_of_an_earlier_one_that_is_gone() -> None:
    streams = {state.stream_arn: state for state in (StreamState(OLD, gone=True), listed(("n", None)))}
    held = replace(row("o", stream=OLD), owner="another")
    assert streams_that_wait([held, row("n")], streams, NOW) == {NEW: OLD}
    assert streams_that_wait([held, row("n")], streams, NOW, expired={held.key}) == {}


def test_streams_sort_by_age() -> None:
    assert by_age(frozenset({NEW, OLD})) == [OLD, NEW]
    assert StreamName.of(NEW) == StreamName("us-east-1", "export-status", "2026-11-22T10:00:00.000")
    with pytest.raises(ValueError, match="must be the ARN"):
        StreamName.of("arn:aws:kinesis:us-east-1:1:stream/x")


def test_parents_come_first_whatever_the_order_of_the_listing() -> None:
    state = listed(("c", "b"), ("b", "a"), ("d", "gone"), ("a", None))
    assert state.listing is not None
    assert [shard.shard_id for shard in parents_first(state.listing)] == ["a", "b", "c", "d"]


def test_a_circle_of_parents_ends() -> None:
    state = listed(("a", "b"), ("b", "a"))
    assert state.listing is not None
    assert {shard.shard_id for shard in parents_first(state.listing)} == {"a", "b"}


@pytest.mark.parametrize(
    ("finished", "ended_hours_ago", "is_listed", "complete", "goes"),
    [
        (True, 49, False, True, True),
        (True, 47, False, True, False),
        (True, 49, True, True, False),
        (True, 49, False, False, False),
        (False, 49, False, True, False),
    ],
)
def test_a_row_goes_only_when_finished_unlisted_and_older_than_two_days(
    finished: bool, ended_hours_ago: float, is_listed: bool, complete: bool, goes: bool
) -> None:
    lease = Lease("k", "a", NEW, finished=finished, ended_at=NOW - ended_hours_ago * HOUR)
    state = listed(*([("a", None)] if is_listed else []), complete=complete)
    assert bool(removable([lease, row("b")], {NEW: state}, NOW)) == goes


@pytest.mark.parametrize(
    ("made_hours_ago", "is_listed", "goes"), [(49, False, True), (47, False, False), (49, True, False)]
)
def test_a_row_that_was_finished_by_hand_goes_by_its_own_age(
    made_hours_ago: float, is_listed: bool, goes: bool
) -> None:
    lease = Lease("k", "a", NEW, finished=True, created_at=NOW - made_hours_ago * HOUR)
    state = listed(*([("a", None)] if is_listed else []))
    assert bool(removable([lease, row("b")], {NEW: state}, NOW)) == goes


def test_one_row_stays_for_it_shows_since_when_the_streams_are_followed() -> None:
    old = [Lease(name, name, OLD, finished=True, ended_at=0.0) for name in ("a", "b")]
    assert len(removable(old, {OLD: StreamState(OLD, gone=True)}, NOW)) == 1


def test_no_row_goes_while_its_stream_is_unknown_or_has_no_listing() -> None:
    lease = Lease("k", "a", NEW, finished=True, ended_at=0.0)
    assert removable([lease], {}, NOW) == ()
    assert removable([lease], {NEW: StreamState(NEW)}, NOW) == ()


def start(
    began_hours_ago: float, tracked_hours_ago: float, *, read: bool = False, shard_id: str = ""
) -> bool:
    """Whether a first read may have missed something."""
    began = f"shardId-{int((NOW - began_hours_ago * HOUR) * 1_000):020d}-0a1b2c3d"
    lease = new_lease(
        NEW, shard_id or began, frozenset(), now=NOW - 0.01, tracked_since=NOW - tracked_hours_ago * HOUR
    )
    if read:
        lease = Lease(
            lease.key, lease.shard_id, NEW, position=Position("1"), tracked_since=lease.tracked_since
        )
    return start_may_be_trimmed(lease, NOW)


def test_the_first_start_on_an_old_table_misses_nothing() -> None:
    assert not start(began_hours_ago=30, tracked_hours_ago=0.01)


def test_a_shard_read_within_its_retention_misses_nothing() -> None:
    assert not start(began_hours_ago=23, tracked_hours_ago=100)


def test_a_shard_first_read_after_its_retention_may_have_lost_its_beginning() -> None:
    assert start(began_hours_ago=24, tracked_hours_ago=100)
    assert start(began_hours_ago=30, tracked_hours_ago=1)


def test_a_shard_that_was_read_before_says_by_itself_what_is_trimmed() -> None:
    assert not start(began_hours_ago=30, tracked_hours_ago=100, read=True)


def test_an_emulators_shard_id_tells_no_age() -> None:
    assert not start(0, tracked_hours_ago=100, shard_id="shardId-00000001541626099285-f35f62ef")
    assert not start(0, tracked_hours_ago=100, shard_id="shard-1")
