"""REMOVE records become entries, everything else nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from processor.audit.delivery import Delivery
from processor.audit.removals import Removals
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.record_processor import RecordProcessor, Unavailable
from processor.streams.shards import ShardName
from tests.audit.entries import Shelf, always
from tests.handlers.test_expiry import image, record

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"
SHARD = ShardName(ARN, "shardId-1")


def test_only_removals_become_entries_and_a_checkpoint_may_move_to_the_first_that_a_sink_lacks(
    tmp_path: Path,
) -> None:
    shelf = Shelf("shelf")
    health = Health(tmp_path / "health", warn=pytest.fail)
    removals: RecordProcessor = Removals(Delivery([shelf], None, Metrics(), health))
    kinds = ("INSERT", "REMOVE", "MODIFY", "REMOVE", "MODIFY")
    records = [record(image()) | {"eventName": kind, "eventID": str(n)} for n, kind in enumerate(kinds)]
    work = removals.begin(SHARD, records, NOW)
    assert work.has_effects
    assert work.durable_records == 1, "nothing waits for the INSERT"
    shelf.down_for = {"3"}
    with pytest.raises(Unavailable):
        work.go_on(always)
    assert shelf.kept == ["1"]
    assert work.durable_records == 3
    idle = removals.begin(SHARD, [records[0]], NOW)
    assert (idle.has_effects, idle.durable_records) == (False, 1)
    idle.go_on(always)
    assert shelf.kept == ["1"]
