"""REMOVE records become entries, everything else nothing; the work goes on where it stopped."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from processor.audit.delivery import Delivery
from processor.audit.removals import Removals
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.record_processor import Interrupted, RecordProcessor, Unavailable
from processor.streams.shards import ShardName
from tests.audit.entries import Shelf, always
from tests.audit.throttled_readers import Clock
from tests.handlers.test_expiry import image, record

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
SHARD = ShardName(ARN, "shardId-1")


@pytest.fixture
def shelf() -> Shelf:
    """The only sink."""
    return Shelf("shelf")


@pytest.fixture
def clock() -> Clock:
    """The delivery's time."""
    return Clock()


@pytest.fixture
def removals(shelf: Shelf, clock: Clock, tmp_path: Path) -> RecordProcessor:
    """The record processor that delivers to the shelf."""
    health = Health(tmp_path / "health", warn=pytest.fail)
    return Removals(Delivery([shelf], None, Metrics(), health, clock))


def test_only_removals_become_entries(removals: RecordProcessor, shelf: Shelf) -> None:
    kinds = ("INSERT", "REMOVE", "MODIFY")
    records = [record(image()) | {"eventName": kind, "eventID": f"id-{kind}"} for kind in kinds]
    work = removals.begin(SHARD, records, NOW)
    assert work.has_effects
    work.go_on(always)
    assert shelf.kept == ["id-REMOVE"]


def test_a_page_without_removals_has_no_effects(removals: RecordProcessor, shelf: Shelf) -> None:
    work = removals.begin(SHARD, [record(image()) | {"eventName": "MODIFY"}], NOW)
    assert not work.has_effects
    work.go_on(always)
    assert shelf.kept == []


def test_work_that_cannot_go_on_goes_on_later(removals: RecordProcessor, shelf: Shelf, clock: Clock) -> None:
    work = removals.begin(SHARD, [record(image()) | {"eventID": "id-1"}], NOW)
    shelf.is_down = True
    with pytest.raises(Unavailable) as caught:
        work.go_on(always)
    assert caught.value.retry_seconds is not None
    clock.seconds += caught.value.retry_seconds
    shelf.is_down = False
    with pytest.raises(Interrupted):
        work.go_on(lambda: False)
    work.go_on(always)
    work.go_on(always)
    assert shelf.kept == ["id-1"]


def test_a_checkpoint_may_move_to_the_first_removal_that_a_sink_lacks(
    removals: RecordProcessor, shelf: Shelf
) -> None:
    kinds = ("INSERT", "REMOVE", "MODIFY", "REMOVE", "MODIFY")
    records = [record(image()) | {"eventName": kind, "eventID": str(n)} for n, kind in enumerate(kinds)]
    work = removals.begin(SHARD, records, NOW)
    assert work.durable_records == 1, "nothing waits for the INSERT"
    shelf.down_for = {"3"}
    with pytest.raises(Unavailable):
        work.go_on(always)
    assert work.durable_records == 3
    assert removals.begin(SHARD, [records[0]], NOW).durable_records == 1
