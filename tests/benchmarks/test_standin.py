"""The stand-in answers as SQS and DynamoDB would wherever a consumer under measurement can tell.

Its conditions are those of `tests/handlers/model_table.py`, which is held against DynamoDB Local.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from types_boto3_sqs import SQSClient

from handlers.events import decode
from handlers.export import Status
from tests.benchmarks.measuring import Consumer, StandIn, stand_in
from tests.benchmarks.standin_table import ACCOUNT
from tests.benchmarks.standin_world import BLOCK, QUEUE, DayPlan
from tests.benchmarks.transitions_bench import CAREFUL, SERVICE
from tests.resources import ClientFactory
from tests.waiting import eventually

URL = f"http://127.0.0.1/{ACCOUNT}/{QUEUE}"


@pytest.fixture
def service() -> Iterator[StandIn]:
    with stand_in() as running:
        yield running


@pytest.fixture
def sqs(service: StandIn, clients: Callable[[str], ClientFactory]) -> SQSClient:
    client: SQSClient = clients(service.endpoint)("sqs")
    return client


def receive(sqs: SQSClient, wait_seconds: int = 0) -> list[tuple[str, str]]:
    """Bodies and receipt handles of up to ten messages."""
    answer = sqs.receive_message(QueueUrl=URL, MaxNumberOfMessages=10, WaitTimeSeconds=wait_seconds)
    return [(message["Body"], message["ReceiptHandle"]) for message in answer.get("Messages", [])]


def test_each_export_comes_three_times_in_its_order(service: StandIn, sqs: SQSClient) -> None:
    assert receive(sqs) == []
    service.release(3 * BLOCK)
    seen: dict[str, list[Status]] = {}
    while batch := receive(sqs):
        for body, _ in batch:
            event = decode(body, now=datetime.now(UTC))
            assert abs(event.occurred_at - datetime.now(UTC)) < timedelta(minutes=1)
            seen.setdefault(event.request_id, []).append(event.status)
    assert len(seen) == BLOCK
    assert set(map(tuple, seen.values())) == {(Status.PENDING, Status.PROCESSING, Status.COMPLETED)}
    assert service.state()["calls"] == {"ReceiveMessage": 3 * BLOCK // 10 + 2}


def test_a_deleted_message_is_counted_once_and_one_made_visible_comes_back(
    service: StandIn, sqs: SQSClient
) -> None:
    service.release(2)
    (_, first), (body, second) = receive(sqs)
    for _ in range(2):
        sqs.delete_message_batch(QueueUrl=URL, Entries=[{"Id": "0", "ReceiptHandle": first}])
    sqs.change_message_visibility_batch(
        QueueUrl=URL, Entries=[{"Id": "0", "ReceiptHandle": second, "VisibilityTimeout": 0}]
    )
    ((returned, _),) = receive(sqs, wait_seconds=5)
    assert json.loads(returned)["eventId"] == json.loads(body)["eventId"]
    assert service.state()["counts"]["deleted"] == 1


def test_on_a_day_pages_are_short_and_short_polls_miss_some(service: StandIn, sqs: SQSClient) -> None:
    service.begin_day(DayPlan(2_000, 0.2))
    eventually(lambda: not service.state()["arriving"])
    sizes = [len(receive(sqs)) for _ in range(20)]
    assert {0, 10} < set(sizes)


def test_a_day_s_calls_and_times_from_arrival_to_write_are_those_of_its_events(tmp_path: Path) -> None:
    with Consumer(SERVICE, 0, tmp_path) as service:
        measured = service.day(DayPlan(50, 1))
    assert 10 < len(measured.latencies) <= measured.events
    assert 0 < measured.latency(0.5) <= measured.latency(0.99)
    assert measured.calls["ReceiveMessage"] > 0


def test_the_careful_consumer_does_what_it_stands_for(tmp_path: Path) -> None:
    with Consumer(CAREFUL, 0, tmp_path) as running:
        running.warm_up(50)
        for _ in range(3):
            running.consume(100)
    measured = running.measured()
    assert measured.calls_per_event == pytest.approx(1.2, rel=0.1)
    assert measured.total.counts["applied"] == 300
    assert (measured.total.counts["refused"], measured.dead_lettered) == (0, 0)
    assert measured.cpu_micros_per_event > 0
    assert measured.peak_mib > measured.resident_mib[-1] * 0.9 > 10
