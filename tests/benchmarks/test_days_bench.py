"""The days of the benchmark: events arrive by the clock, pages are short, and latency is counted."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.benchmarks.days_bench import DayConsumer, DayMeasured
from tests.benchmarks.measuring import StandIn, stand_in
from tests.benchmarks.standin_day import DayPlan
from tests.benchmarks.standin_table import ACCOUNT
from tests.benchmarks.standin_world import QUEUE
from tests.benchmarks.transitions_bench import SERVICE
from tests.resources import ClientFactory
from tests.waiting import eventually

URL = f"http://127.0.0.1/{ACCOUNT}/{QUEUE}"


@pytest.fixture
def day() -> Iterator[StandIn]:
    with stand_in(0, "--day") as running:
        yield running


def test_below_a_thousand_waiting_messages_pages_are_short_and_short_polls_miss_some(
    day: StandIn, clients: Callable[[str], ClientFactory]
) -> None:
    sqs = clients(day.endpoint)("sqs")
    day.begin_day(asdict(DayPlan(2_000, 0.2)))
    eventually(lambda: not day.state()["arriving"])
    sizes = [
        len(sqs.receive_message(QueueUrl=URL, MaxNumberOfMessages=10).get("Messages", [])) for _ in range(20)
    ]
    assert 0 in sizes
    assert 10 in sizes
    assert any(0 < size < 10 for size in sizes)


def test_a_queue_that_is_held_gives_nothing_while_events_arrive(
    day: StandIn, clients: Callable[[str], ClientFactory]
) -> None:
    sqs = clients(day.endpoint)("sqs")
    day.begin_day(asdict(DayPlan(200, 60, held_seconds=60)))
    eventually(lambda: day.state()["waiting"] > 10)
    assert "Messages" not in sqs.receive_message(QueueUrl=URL, MaxNumberOfMessages=10, WaitTimeSeconds=1)


def test_a_day_s_calls_and_times_from_arrival_to_write_are_those_of_its_events(tmp_path: Path) -> None:
    with DayConsumer(SERVICE, tmp_path) as service:
        measured = service.day(DayPlan(50, 1))
    assert measured.events > 10
    assert 10 < len(measured.latencies) <= measured.events
    assert 0 < measured.latency(0.5) <= measured.latency(0.99)
    assert measured.calls["ReceiveMessage"] > 0


def test_the_quantile_is_that_of_the_sorted_times() -> None:
    measured = DayMeasured(4, 1.0, {}, 0.0, [0.4, 0.1, 0.3, 0.2])
    assert (measured.latency(0.5), measured.latency(0.99)) == (0.3, 0.4)
