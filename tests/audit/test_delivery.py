"""Entries reach every sink or the quarantine; a failing sink holds its page and nothing else."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from processor.audit.delivery import FORGOTTEN_SECONDS, Batch, Delivery
from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import SinkInterrupted, SinkUnavailable
from processor.observability.health import Health, check
from processor.observability.metrics import Metrics
from tests.audit.entries import LetterBox, Shelf, always, expired
from tests.audit.throttled_readers import Clock
from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.world import World, values_of


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

    def fails(self, batch: Batch) -> None:
        """A try to deliver that ends unavailable, and the wait that it asks for."""
        with pytest.raises(SinkUnavailable) as caught:
            batch.deliver(always)
        assert caught.value.retry_seconds is not None
        self.clock.seconds += caught.value.retry_seconds


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Two sinks that both refuse `bad`, the second also `worse`."""
    return Bench(tmp_path)


def test_every_sink_takes_the_same_entries_with_the_same_ids_in_order(bench: Bench) -> None:
    bench.delivery.batch(expired("a", "b", "c")).deliver(always)
    assert bench.first.kept == bench.second.kept == ["id-0", "id-1", "id-2"]


def test_a_sink_that_is_down_gets_the_same_entries_again_and_the_others_do_not(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("a", "b"))
    bench.second.is_down = True
    for _ in range(3):
        bench.fails(batch)
    bench.second.is_down = False
    batch.deliver(always)
    batch.deliver(always)
    assert bench.first.kept == bench.second.kept == ["id-0", "id-1"]


def test_each_sink_gets_the_page_while_another_is_down_and_backs_off(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("a", "b"))
    bench.first.is_down = True
    with pytest.raises(SinkUnavailable):
        batch.deliver(always)
    assert bench.second.kept == ["id-0", "id-1"]
    bench.first.is_down = False
    with pytest.raises(SinkUnavailable):
        batch.deliver(always)  # its back-off is not over
    assert bench.first.kept == []


def test_what_is_durable_is_what_all_sinks_have(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("a", "b", "worse", "c", "d"))
    assert batch.durable == 0
    bench.box.is_down = True
    bench.fails(batch)
    assert batch.durable == 2, "the refused entry is not in the quarantine"
    bench.box.is_down = False
    batch.deliver(always)
    assert batch.durable == 5


def test_what_is_durable_ends_at_the_first_entry_that_a_sink_lacks(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("a", "b", "c"))
    bench.second.down_for = {"id-1"}
    bench.fails(batch)
    assert batch.durable == 1


def test_an_outage_ends_when_no_page_waits_for_the_sink(bench: Bench) -> None:
    held, other = bench.delivery.batch(expired("a")), bench.delivery.batch(expired("b", "c")[1:])
    bench.second.down_for = {"id-0"}
    bench.fails(held)
    other.deliver(always)
    assert "audit second" in degraded(bench)
    bench.second.down_for = set()
    held.deliver(always)
    assert degraded(bench) == {}


def test_a_sink_is_not_down_for_a_batch_alone_that_is_not_tried_any_more(bench: Bench) -> None:
    released = bench.delivery.batch(expired("a"))
    bench.second.is_down = True
    bench.fails(released)
    bench.second.is_down = False
    bench.clock.seconds += FORGOTTEN_SECONDS
    bench.delivery.batch([]).deliver(always)
    bench.health.write()
    assert check(bench.health_file).degraded == ()
    assert released.durable == 0, "it is still referred to, so that no collector decides"


def test_a_refused_entry_is_quarantined_once_and_its_neighbours_are_delivered(bench: Bench) -> None:
    bench.delivery.batch(expired("a", "bad", "worse", "b")).deliver(always)
    assert bench.first.kept == ["id-0", "id-2", "id-3"]
    assert bench.second.kept == ["id-0", "id-3"]
    assert [letter.source_message_id for letter in bench.box.letters] == ["id-1", "id-2"]


def test_the_quarantined_message_has_the_entry_and_the_reason(bench: Bench) -> None:
    bench.delivery.batch(expired("bad", fileName={"S": "Ünïcode \U0001f600￾"})).deliver(always)
    (letter,) = bench.box.letters
    assert letter.outcome == "audit_quarantined"
    assert letter.reason == "requestId must be liked"
    assert letter.body.isascii()
    assert json.loads(letter.body)["fileName"] == "Ünïcode \U0001f600￾"
    assert json.loads(letter.body)["auditId"] == "id-0"


def test_a_quarantined_entrys_line_names_the_sink_and_the_reason(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        bench.delivery.batch(expired("a", "bad", "worse")).deliver(always)
    assert [line for line in logs if line["event"] == "audit_quarantined"] == [
        {
            "event": "audit_quarantined",
            "log_level": "error",
            "audit_id": f"id-{number}",
            "request_id": request_id,
            "sink": sink,
            "reason": "requestId must be liked",
        }
        for number, request_id, sink in [(1, "bad", "first"), (2, "worse", "second")]
    ]


def test_a_quarantine_that_takes_nothing_holds_the_page_and_repeats_no_sink(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("a", "worse"))
    bench.box.is_down = True
    bench.fails(batch)
    assert "audit quarantine" in degraded(bench)
    bench.box.is_down = False
    batch.deliver(always)
    assert bench.first.kept == ["id-0", "id-1"]
    assert bench.second.kept == ["id-0"]
    assert len(bench.box.letters) == 1
    assert degraded(bench) == {}


def test_without_a_quarantine_a_refused_entry_holds_its_page_and_operators_see_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, with_quarantine=False)
    batch = bench.delivery.batch(expired("a", "bad", "b"))
    bench.second.is_down = True
    bench.fails(batch)
    bench.second.is_down = False
    for _ in range(2):
        with pytest.raises(SinkUnavailable) as caught:
            batch.deliver(always)
        assert caught.value.retry_seconds == math.inf, "only the quarantine is missing"
    assert bench.second.kept == ["id-0", "id-2"]
    assert batch.durable == 1
    assert "SQS_EXPORT_EVENTS_DLQ_URL" in degraded(bench)["audit quarantine"]


def test_without_trust_nothing_is_put_aside_either(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("bad"))
    answers = [True, True, False]  # one for each sink, then the quarantine's
    with pytest.raises(SinkInterrupted):
        batch.deliver(lambda: answers.pop(0))
    assert bench.box.letters == []


def test_exports_of_probes_are_not_counted_as_unfinished(bench: Bench) -> None:
    bench.delivery.batch(expired("probe-1", "a", status={"S": "pending"})).deliver(always)
    values = values_of(bench.metrics)
    assert (values["AuditExpired"], values["UnfinishedExpiries"]) == (2, 1)


def test_delivered_entries_are_counted_once_and_quarantined_ones_apart(bench: Bench) -> None:
    batch = bench.delivery.batch(expired("a", "bad", "b", status={"S": "pending"}))
    bench.second.is_down = True
    bench.fails(batch)
    bench.second.is_down = False
    batch.deliver(always)
    values = values_of(bench.metrics)
    assert values["AuditExpired"] == 2
    assert values["UnfinishedExpiries"] == 3, (
        "an export that never got its answer, whatever became of its entry"
    )
    assert values["Quarantined"] == 1
    assert values["SinkErrors"] == 1
    assert values["SinksDown"] == 1, "it was down since the last line"
    assert values_of(bench.metrics)["SinksDown"] == 0


def test_an_outage_of_a_sink_has_a_line_at_its_begin_and_one_at_its_end(world: World) -> None:
    world.start_worker()
    world.run(5)
    world.sink_is_down = True
    expire(world, 3)
    world.run(120)
    world.sink_is_down = False
    world.run(60)
    events = [line["event"] for line in world.logs if line["event"].startswith("audit_sink")]
    assert events == ["audit_sink_down", "audit_sink_up"]
    assert_all_taken_once(world)


@pytest.mark.slow
def test_one_shard_that_is_held_by_a_refused_entry_holds_no_other(new_world: Callable[[int], World]) -> None:
    world = new_world(4)
    world.poison.add("poison")
    world.dead_letters.is_down = True
    world.start_worker()
    world.table.write("poison")
    held = world.table.shard_of("poison")
    expire(world, 40)
    world.run(60)
    expected = {
        record["eventID"] for shard, record in world.table.removals() if shard.shard_id != held.shard_id
    }
    assert expected <= {entry.audit_id for entry in world.emitted}
    assert world.leases()[held.shard_id].position.sequence_number is None
    world.dead_letters.is_down = False
    world.run(60)
    assert_all_taken_once(world)
    assert len(world.dead_letters.messages) == 1


def test_one_poisonous_entry_among_good_ones_leaves_them_in_order(world: World) -> None:
    world.poison.add("poison")
    for number in range(10):
        world.table.write(f"export-{number % 2}")
        world.table.write("poison")
    world.start_worker()
    world.run(10)
    assert_all_taken_once(world)
    assert len(world.emitted) == len(world.dead_letters.messages) == 10


def degraded(bench: Bench) -> dict[str, str]:
    """What the health file shows as degraded."""
    bench.health.write()
    found: dict[str, str] = json.loads(bench.health_file.read_text())["degraded"]
    return found
