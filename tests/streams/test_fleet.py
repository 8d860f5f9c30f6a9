"""The view of unread shards: those that no worker reads come first, then those that are trimmed first."""

from dataclasses import replace

from processor.streams.fleet import unread_shards
from processor.streams.leases.lease import Lease, Position, new_lease
from processor.streams.shards import Listing, Shard

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
NOW = 1_795_400_000.0
HOUR = 3_600.0


def row(shard_id: str, owner: str | None, read_until: float, **changes: object) -> Lease:
    made = new_lease(ARN, shard_id, frozenset(), now=NOW - 20 * HOUR, tracked_since=0.0)
    return replace(made, owner=owner, read_until=read_until, **changes)  # type: ignore[arg-type]


def listing(*shards: Shard) -> Listing:
    return Listing(ARN, {shard.shard_id: shard for shard in shards}, 0.0)


def test_unheld_shards_come_first_then_the_later_ones() -> None:
    rows = [
        row("held", "worker-1", NOW - 3),
        row("late", "worker-2", NOW - 5 * HOUR),
        row("free", None, NOW - 60),
        row("done", None, NOW, finished=True),
        row("lost", None, NOW - 30 * HOUR, gap_reported=True),
    ]
    found = unread_shards(rows, [], NOW, 10)
    assert [view.shard_id for view in found] == ["free", "late", "held"]
    assert [view.reader for view in found] == [None, "worker-2", "worker-1"]
    assert [view.lag_seconds for view in found] == [60, 5 * HOUR, 0]
    assert [view.hours_to_trim for view in found] == [24 - 1 / 60, 19, 24]


def test_a_listed_shard_without_a_row_is_late_since_its_start() -> None:
    began = int(NOW - 7 * HOUR)
    (view,) = unread_shards([], [listing(Shard(f"shardId-{began}000-0a1b"))], NOW, 10)
    assert (view.reader, view.has_row, view.lag_seconds) == (None, False, NOW - began)
    (unknown,) = unread_shards([], [listing(Shard("shard-of-an-emulator"))], NOW, 10)
    assert (unknown.lag_seconds, unknown.hours_to_trim) == (None, None)


def test_a_child_names_the_parent_that_it_waits_for() -> None:
    parent = row("parent", "worker-1", NOW, position=Position("5", NOW))
    shards = listing(Shard("parent"), Shard("child", parent_id="parent"))
    views = {view.shard_id: view for view in unread_shards([parent], [shards], NOW, 10)}
    assert views["child"].waits_for == "parent"
    done = replace(parent, finished=True)
    (child,) = unread_shards([done], [shards], NOW, 10)
    assert child.waits_for is None
