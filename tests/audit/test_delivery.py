"""Entries reach every sink or the quarantine, a failing sink holds its shard and nothing else."""

import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from handlers.audit import AuditEntry
from handlers.expiry import audit_entry
from processor.audit.delivery import Delivery
from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import Refusal, SinkInterrupted, SinkUnavailable
from processor.audit.sinks.log import LogSink
from processor.aws.sqs import BatchResult
from processor.dead_letters import DeadLetter
from processor.observability.health import Health
from processor.observability.log import LineOutput
from processor.observability.metrics import Metrics
from tests.handlers.test_expiry import SIGNED, SOURCE, image, record
from tests.streams.test_shard_reader import assert_all_taken_once, expire
from tests.streams.world import World, values_of

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def entries(*request_ids: str, **old: Any) -> list[AuditEntry]:
    """Entries of these exports, each with an id of its own."""
    made = [
        audit_entry(
            record(image(**old), Keys={"requestId": {"S": request_id}}) | {"eventID": f"id-{number}"},
            source=SOURCE,
            read_at=NOW,
        )
        for number, request_id in enumerate(request_ids)
    ]
    return [entry for entry in made if entry is not None]


def always() -> bool:
    """Nothing speaks against going on."""
    return True


class Shelf:
    """A sink that keeps what it takes, refuses what it is told to, and can be down."""

    def __init__(self, name: str, *refused: str) -> None:
        self.name = name
        self.refused = refused
        self.kept: list[str] = []
        self.is_down = False

    def put(self, entries: Sequence[AuditEntry], may_continue: Callable[[], bool]) -> Sequence[Refusal]:
        """Takes all or nothing."""
        if not may_continue():
            raise SinkInterrupted
        if self.is_down:
            raise SinkUnavailable(f"{self.name} is down")
        self.kept += [entry.audit_id for entry in entries if entry.request_id not in self.refused]
        return [
            Refusal(entry, "requestId must be liked") for entry in entries if entry.request_id in self.refused
        ]


class LetterBox:
    """A dead-letter queue that keeps letters."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.is_down = False

    def send(self, letters: Sequence[DeadLetter]) -> BatchResult:
        """Takes them unless it is down."""
        if self.is_down:
            return BatchResult({}, {}, range(len(letters)))
        self.letters += letters
        return BatchResult(dict.fromkeys(range(len(letters)), "id"), {})


class Bench:
    """A delivery to two sinks with a quarantine."""

    def __init__(self, *, with_quarantine: bool = True) -> None:
        self.first, self.second = Shelf("first", "bad"), Shelf("second", "bad", "worse")
        self.box = LetterBox()
        self.metrics = Metrics()
        self.health = Health(Path("unused"), warn=lambda _problem: None)
        box: Any = self.box
        quarantine = Quarantine(box) if with_quarantine else None
        self.delivery = Delivery([self.first, self.second], quarantine, self.metrics, self.health)


@pytest.fixture
def bench() -> Bench:
    """Two sinks that both refuse `bad`, the second also `worse`."""
    return Bench()


def test_every_sink_takes_the_same_entries_with_the_same_ids_in_order(bench: Bench) -> None:
    bench.delivery.batch(entries("a", "b", "c")).deliver(always)
    assert bench.first.kept == bench.second.kept == ["id-0", "id-1", "id-2"]


def test_a_sink_that_is_down_gets_the_same_entries_again_and_the_others_do_not(bench: Bench) -> None:
    batch = bench.delivery.batch(entries("a", "b"))
    bench.second.is_down = True
    for _ in range(3):
        with pytest.raises(SinkUnavailable):
            batch.deliver(always)
    bench.second.is_down = False
    batch.deliver(always)
    batch.deliver(always)
    assert bench.first.kept == bench.second.kept == ["id-0", "id-1"]


def test_a_refused_entry_is_put_aside_once_and_its_neighbours_are_taken(bench: Bench) -> None:
    bench.delivery.batch(entries("a", "bad", "worse", "b")).deliver(always)
    assert bench.first.kept == ["id-0", "id-2", "id-3"]
    assert bench.second.kept == ["id-0", "id-3"]
    assert [letter.source_message_id for letter in bench.box.letters] == ["id-1", "id-2"]


def test_the_quarantined_message_holds_the_entry_and_says_why(bench: Bench) -> None:
    bench.delivery.batch(entries("bad", fileName={"S": "Ünïcode \U0001f600￾"})).deliver(always)
    (letter,) = bench.box.letters
    assert letter.outcome == "audit_quarantined"
    assert letter.reason == "requestId must be liked"
    assert letter.body.isascii()
    assert json.loads(letter.body)["fileName"] == "Ünïcode \U0001f600￾"
    assert json.loads(letter.body)["auditId"] == "id-0"


def test_a_quarantined_entry_is_told_with_the_sink_that_refused_it_and_why(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        bench.delivery.batch(entries("a", "bad", "worse")).deliver(always)
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


def test_a_reason_with_a_signed_url_loses_it(bench: Bench) -> None:
    (entry,) = entries("a")
    Quarantine(bench.box).take(Refusal(entry, f"cannot take {SIGNED}"))  # type: ignore[arg-type]
    assert "Signature" not in bench.box.letters[0].reason


@pytest.mark.parametrize("audit_id", ["has space", "x" * 200, "ü"])
def test_an_id_that_no_queue_takes_is_replaced_by_its_hash(bench: Bench, audit_id: str) -> None:
    (entry,) = entries("group id ü")
    Quarantine(bench.box).take(Refusal(entry.model_copy(update={"audit_id": audit_id}), "no"))  # type: ignore[arg-type]
    (letter,) = bench.box.letters
    assert len(letter.source_message_id) == len(letter.group_id or "") == 64


def test_a_quarantine_that_takes_nothing_holds_the_page_and_repeats_no_sink(bench: Bench) -> None:
    batch = bench.delivery.batch(entries("a", "worse"))
    bench.box.is_down = True
    with pytest.raises(SinkUnavailable):
        batch.deliver(always)
    assert "audit quarantine" in degraded(bench)
    bench.box.is_down = False
    batch.deliver(always)
    assert bench.first.kept == ["id-0", "id-1"]
    assert bench.second.kept == ["id-0"]
    assert len(bench.box.letters) == 1
    assert degraded(bench) == {}


def test_without_a_quarantine_a_refused_entry_holds_its_page_aloud() -> None:
    bench = Bench(with_quarantine=False)
    batch = bench.delivery.batch(entries("bad", "a"))
    for _ in range(2):
        with pytest.raises(SinkUnavailable):
            batch.deliver(always)
    assert "SQS_EXPORT_EVENTS_DLQ_URL" in degraded(bench)["audit quarantine"]


def test_without_trust_nothing_is_put_aside_either(bench: Bench) -> None:
    batch = bench.delivery.batch(entries("bad"))
    answers = [True, False]
    with pytest.raises(SinkInterrupted):
        batch.deliver(lambda: answers.pop(0))
    assert bench.box.letters == []


def test_what_was_taken_is_counted_once_and_what_was_put_aside_apart(bench: Bench) -> None:
    batch = bench.delivery.batch(entries("a", "bad", "b", status={"S": "pending"}))
    bench.second.is_down = True
    with pytest.raises(SinkUnavailable):
        batch.deliver(always)
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


def test_an_outage_of_a_sink_is_told_when_it_begins_and_when_it_ends(world: World) -> None:
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


def test_an_audit_line_is_one_json_object_with_the_entrys_fields_at_the_top() -> None:
    stream = io.StringIO()
    LogSink(LineOutput(stream), lambda: NOW).put(entries("a", "b"), always)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"], line["timestamp"]) for line in lines] == [
        ("audit", "info", "2026-11-22T10:00:00.000Z")
    ] * 2
    (entry, _) = entries("a", "b")
    assert json.loads(entry.to_json()).items() <= lines[0].items()


def test_the_longest_audit_line_is_under_sixteen_kibibytes() -> None:
    stream = io.StringIO()
    worst = "\x00" * 10_000
    LogSink(LineOutput(stream), lambda: NOW).put(
        entries(worst, error={"S": worst}, fileName={"S": worst}), always
    )
    assert len(stream.getvalue().encode()) < 16 * 1_024


def test_a_line_that_cannot_be_written_makes_the_sink_unavailable() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(SinkUnavailable):
        LogSink(LineOutput(stream), lambda: NOW).put(entries("a"), always)


def test_the_log_sink_asks_before_each_write() -> None:
    stream = io.StringIO()
    answers = [True, False]
    with pytest.raises(SinkInterrupted):
        LogSink(LineOutput(stream), lambda: NOW).put(
            entries(*[str(number) for number in range(50)]), lambda: answers.pop(0)
        )
    assert 0 < len(stream.getvalue().splitlines()) < 50


def degraded(bench: Bench) -> dict[str, str]:
    """What is shown as not working."""
    return dict(bench.health._degraded)
