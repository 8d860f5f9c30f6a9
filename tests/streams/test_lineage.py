"""Which shard may be read, and which row may go."""

from dataclasses import replace

import pytest

from processor.streams.leases.lease import Lease, lease_key
from processor.streams.lineage import (
    parents_first,
    ready_leases,
    removable,
    streams_that_wait,
)
from processor.streams.shards import Listing, Shard, StreamName, StreamStatus, by_age

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
    ended_at: float | None = NOW - HOUR,
) -> Lease:
    """A lease row."""
    return Lease(
        key=lease_key(stream, shard_id),
        shard_id=shard_id,
        stream_arn=stream,
        finished=finished,
        parents=Shard(shard_id, parent).parents,
        ended_at=ended_at if finished else None,
    )


def listed(
    *shards: tuple[str, str | None], stream: str = NEW, started_at: float = 0.0, complete: bool = True
) -> Listing:
    """A stream's listing: (shard, parent)."""
    found = {shard_id: Shard(shard_id, parent) for shard_id, parent in shards}
    return Listing(stream, found, started_at, complete=complete)


def ready(*rows: Lease, streams: tuple[Listing, ...], first_seen: float | None = None) -> set[str]:
    """The shards that may be read."""
    known = {listing.stream_arn: listing for listing in streams}
    seen = {} if first_seen is None else {lease.key: first_seen for lease in rows}
    return {lease.shard_id for lease in ready_leases(rows, known, seen, NOW)}


FAMILY = listed(("a", None), ("b", "a"), ("c", "b"))


def test_of_three_generations_only_the_oldest_unfinished_one_is_ready() -> None:
    rows = [row("a"), row("b", "a"), row("c", "b")]
    assert ready(*rows, streams=(FAMILY,)) == {"a"}
    rows[0] = row("a", finished=True)
    assert ready(*rows, streams=(FAMILY,)) == {"b"}


@pytest.mark.parametrize(
    ("listing", "first_seen", "is_ready"),
    [
        (listed(("a", None), ("b", "a")), None, False),  # the parent's row is still to be made
        (listed(("b", "a")), None, True),
        (listed(("b", "a"), complete=False), None, False),
        # A listing that lacks both: from before the child was known, and from after it.
        (listed(("x", None), started_at=100.0), 101.0, False),
        (listed(("x", None), started_at=100.0), None, False),
        (listed(("x", None), started_at=102.0), 101.0, True),
    ],
)
def test_a_child_whose_parent_has_no_row_is_ready_once_a_complete_listing_lacks_the_parent(
    listing: Listing, first_seen: float | None, is_ready: bool
) -> None:
    assert ready(row("b", "a"), streams=(listing,), first_seen=first_seen) == ({"b"} if is_ready else set())


def test_what_a_row_names_is_ready_before_its_stream_is_known() -> None:
    assert ready(row("a"), streams=()) == {"a"}
    assert ready(row("a"), row("z", stream=OLD), streams=(listed(("a", None)),)) == {"z"}


@pytest.mark.parametrize(
    ("old_row", "old_stream", "found"),
    [
        (row("o", stream=OLD), listed(("o", None), stream=OLD), {"o"}),
        (row("o", stream=OLD, finished=True), listed(("o", None), stream=OLD), {"n"}),
        # It may still show a child: of a shard that ended just now, or that has no row yet.
        (row("o", stream=OLD, finished=True, ended_at=NOW - 30), listed(("o", None), stream=OLD), set()),
        (row("o", stream=OLD, finished=True), listed(("o", None), ("p", "o"), stream=OLD), set()),
        (row("o", stream=OLD, finished=True), Listing(OLD, complete=False), set()),
        # An operator has finished it.
        (row("o", stream=OLD, finished=True, ended_at=None), listed(("o", None), stream=OLD), {"n"}),
        (row("o", stream=OLD), Listing(OLD, status=StreamStatus.GONE), {"n"}),
        # Not found for an hour: it may come back, and holds nothing up.
        (replace(row("o", stream=OLD), passed=True), listed(("o", None), stream=OLD), {"o", "n"}),
    ],
)
def test_a_later_stream_waits_until_the_earlier_one_is_read_to_its_end_or_gone(
    old_row: Lease, old_stream: Listing, found: set[str]
) -> None:
    assert ready(old_row, row("n"), streams=(old_stream, listed(("n", None)))) == found


def test_a_later_stream_waits_for_the_holders_of_an_earlier_one_that_is_gone() -> None:
    streams = {OLD: Listing(OLD, status=StreamStatus.GONE), NEW: listed(("n", None))}
    held = replace(row("o", stream=OLD), owner="another")
    assert streams_that_wait([held, row("n")], streams, NOW) == {NEW: OLD}
    assert streams_that_wait([held, row("n")], streams, NOW, expired={held.key}) == {}


def test_streams_sort_by_age() -> None:
    assert by_age(frozenset({NEW, OLD})) == [OLD, NEW]
    assert StreamName.of(NEW) == StreamName("us-east-1", "export-status", "2026-11-22T10:00:00.000")
    with pytest.raises(ValueError, match="must be the ARN"):
        StreamName.of("arn:aws:kinesis:us-east-1:1:stream/x")


def test_parents_come_first_whatever_the_order_of_the_listing_and_a_circle_ends() -> None:
    mixed = listed(("c", "b"), ("b", "a"), ("d", "gone"), ("a", None))
    assert [shard.shard_id for shard in parents_first(mixed)] == ["a", "b", "c", "d"]
    assert {shard.shard_id for shard in parents_first(listed(("a", "b"), ("b", "a")))} == {"a", "b"}


@pytest.mark.parametrize(
    ("finished", "ended_hours_ago", "made_hours_ago", "listing", "goes"),
    [
        (True, 49, 60, listed(), True),
        (True, 47, 60, listed(), False),
        (True, 49, 60, FAMILY, False),
        (True, 49, 60, listed(complete=False), False),
        (False, 49, 60, listed(), False),
        # Finished by hand: its own age counts.
        (True, None, 49, listed(), True),
        (True, None, 47, listed(), False),
    ],
)
def test_a_row_goes_only_when_finished_unlisted_and_older_than_two_days(
    finished: bool, ended_hours_ago: float | None, made_hours_ago: float, listing: Listing, goes: bool
) -> None:
    ended_at = None if ended_hours_ago is None else NOW - ended_hours_ago * HOUR
    created_at = NOW - made_hours_ago * HOUR
    lease = Lease("k", "a", NEW, finished=finished, ended_at=ended_at, created_at=created_at)
    assert removable([lease, row("b")], {NEW: listing}, NOW) == ([lease] if goes else [])
    assert removable([lease, row("b")], {}, NOW) == []


def test_one_row_stays_for_it_shows_since_when_the_streams_are_followed() -> None:
    old = [Lease(name, name, OLD, finished=True, ended_at=0.0) for name in ("a", "b")]
    assert len(removable(old, {OLD: Listing(OLD, status=StreamStatus.GONE)}, NOW)) == 1
