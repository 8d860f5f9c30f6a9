"""Entries reach every sink or the quarantine; a failing sink holds its page and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog

from processor.audit.delivery import FORGOTTEN_SECONDS, Batch, Delivery
from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import SinkUnavailable
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.record_processor import Blocked, Interrupted
from tests.audit.entries import Clock, LetterBox, Shelf, always, expired
from tests.streams.world import values_of


class Bench:
    """A delivery to two sinks with a quarantine."""

    def __init__(self, folder: Path, *, with_quarantine: bool = True) -> None:
        self.first, self.second = Shelf("first", "bad"), Shelf("second", "bad", "worse")
        self.box = LetterBox()
        self.metrics = Metrics()
        self.health_file = folder / "health"
        self.health = Health(self.health_file, warn=pytest.fail)
        self.clock = Clock()
        box: Any = self.box
        quarantine = Quarantine(box) if with_quarantine else None
        self.delivery = Delivery([self.first, self.second], quarantine, self.metrics, self.health, self.clock)

    def batch(self, *request_ids: str, **old: Any) -> Batch:
        """The delivery of these exports' entries, begun."""
        entries = expired(*request_ids, **old)
        return self.delivery.batch([*enumerate(entries)], len(entries))

    def degraded(self) -> dict[str, str]:
        """What the health file shows as degraded."""
        self.health.write()
        found: dict[str, str] = json.loads(self.health_file.read_text())["degraded"]
        return found

    def fails(self, batch: Batch) -> None:
        """A try to deliver that ends unavailable, and the wait that it asks for."""
        with pytest.raises(SinkUnavailable) as caught:
            batch.go_on(always)
        assert caught.value.retry_seconds is not None
        self.clock.seconds += caught.value.retry_seconds


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two sinks that both refuse `bad`, the second also `worse`."""
    return Bench(tmp_path)


def test_a_sink_that_is_down_gets_the_same_entries_again_and_the_others_do_not(bench: Bench) -> None:
    batch = bench.batch("a", "b")
    bench.second.is_down = True
    for _ in range(3):
        bench.fails(batch)
    bench.second.is_down = False
    batch.go_on(always)
    batch.go_on(always)
    assert bench.first.kept == bench.second.kept == ["id-0", "id-1"]


def test_each_sink_gets_the_page_while_another_is_down_and_backs_off(bench: Bench) -> None:
    batch = bench.batch("a", "b")
    bench.first.is_down = True
    with pytest.raises(SinkUnavailable):
        batch.go_on(always)
    assert bench.second.kept == ["id-0", "id-1"]
    bench.first.is_down = False
    with pytest.raises(SinkUnavailable):
        batch.go_on(always)  # its back-off is not over
    assert bench.first.kept == []


def test_what_is_durable_is_what_all_sinks_have(bench: Bench) -> None:
    batch = bench.batch("a", "b", "worse", "c", "d")
    assert batch.durable_records == 0
    bench.box.is_down = True
    bench.fails(batch)
    assert batch.durable_records == 2, "the refused entry is not in the quarantine"
    assert values_of(bench.metrics)["AuditExpired"] == 2, (
        "if the rest is left to the next owner, so is its count"
    )
    bench.box.is_down = False
    batch.go_on(always)
    assert batch.durable_records == 5


def test_an_outage_ends_when_no_page_waits_for_the_sink(bench: Bench) -> None:
    held, other = bench.batch("a"), bench.delivery.batch([(0, expired("b", "c")[1])], 1)
    bench.second.down_for = {"id-0"}
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            bench.fails(held)
        other.go_on(always)
        assert "audit second" in bench.degraded()
        bench.second.down_for = set()
        held.go_on(always)
    assert bench.degraded() == {}
    assert [(line["event"], line["sink"]) for line in logs] == [
        ("audit_sink_down", "second"),
        ("audit_sink_up", "second"),
    ]


def test_a_sink_is_not_down_for_a_batch_alone_that_is_not_tried_any_more(bench: Bench) -> None:
    released = bench.batch("a")
    bench.second.is_down = True
    bench.fails(released)
    bench.second.is_down = False
    bench.clock.seconds += FORGOTTEN_SECONDS
    bench.delivery.note(None)
    assert bench.degraded() == {}
    assert released.durable_records == 0, "it is still referred to, so that no collector decides"


def test_a_refused_entry_is_quarantined_once_and_its_neighbours_are_delivered(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        bench.batch("a", "bad", "worse", "b").go_on(always)
    assert bench.first.kept == ["id-0", "id-2", "id-3"]
    assert bench.second.kept == ["id-0", "id-3"]
    assert [letter.source_message_id for letter in bench.box.letters] == ["id-1", "id-2"]
    line = {"event": "audit_quarantined", "log_level": "error", "reason": "requestId must be liked"}
    assert logs == [
        line | {"audit_id": "id-1", "request_id": "bad", "sink": "first"},
        line | {"audit_id": "id-2", "request_id": "worse", "sink": "second"},
    ]


def test_a_quarantine_that_takes_nothing_holds_the_page_and_repeats_no_sink(bench: Bench) -> None:
    batch = bench.batch("a", "worse")
    bench.box.is_down = True
    bench.fails(batch)
    assert "audit quarantine" in bench.degraded()
    bench.box.is_down = False
    batch.go_on(always)
    assert bench.first.kept == ["id-0", "id-1"]
    assert bench.second.kept == ["id-0"]
    assert len(bench.box.letters) == 1
    assert bench.degraded() == {}


def test_without_a_quarantine_a_refused_entry_holds_its_page_and_operators_see_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, with_quarantine=False)
    batch = bench.batch("a", "bad", "b")
    bench.second.is_down = True
    bench.fails(batch)
    bench.second.is_down = False
    for _ in range(2):
        with pytest.raises(Blocked):
            batch.go_on(always)
    assert bench.second.kept == ["id-0", "id-2"]
    assert batch.durable_records == 1
    assert "SQS_EXPORT_EVENTS_DLQ_URL" in bench.degraded()["audit quarantine"]


def test_without_trust_nothing_is_put_aside_either(bench: Bench) -> None:
    batch = bench.batch("bad")
    answers = [True, True, False]  # one for each sink, then the quarantine's
    with pytest.raises(Interrupted):
        batch.go_on(lambda: answers.pop(0))
    assert bench.box.letters == []


def test_delivered_entries_are_counted_once_and_quarantined_ones_apart(bench: Bench) -> None:
    batch = bench.batch("a", "bad", "b", "probe-1", status={"S": "pending"})
    bench.second.is_down = True
    bench.fails(batch)
    bench.second.is_down = False
    batch.go_on(always)
    values = values_of(bench.metrics)
    assert values["AuditExpired"] == 3
    assert values["UnfinishedExpiries"] == 3, (
        "an export that never got its answer, whatever became of its entry, but no probe's"
    )
    assert values["Quarantined"] == 1
    assert values["SinkErrors"] == 1
    assert values["SinksDown"] == 1, "it was down since the last line"
    assert values_of(bench.metrics)["SinksDown"] == 0
