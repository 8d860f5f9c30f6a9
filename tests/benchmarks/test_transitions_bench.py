"""What the benchmark measures and does not depend on the machine is checked with every test run."""

import json

import pytest

from tests.benchmarks.measuring import Consumer, Measured
from tests.benchmarks.transitions_bench import MAX_CALLS_PER_EVENT, MAX_PEAK_MIB, SERVICE, targets_of
from tests.emf import validated

EVENTS, WARM_UP = 3_000, 500


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Consumer:
    with Consumer(SERVICE, 0, tmp_path_factory.mktemp("bench")) as running:
        running.warm_up(WARM_UP)
        running.consume(EVENTS)
    return running


@pytest.fixture(scope="module")
def service(consumer: Consumer) -> Measured:
    return consumer.measured()


def test_the_service_needs_no_more_calls_than_its_budget(service: Measured) -> None:
    assert service.calls_per_event <= MAX_CALLS_PER_EVENT
    assert set(service.total.calls) == {"ReceiveMessage", "BatchExecuteStatement", "DeleteMessageBatch"}


def test_every_event_is_applied_once_and_the_service_ends_well(service: Measured) -> None:
    counts = service.total.counts
    assert (counts["applied"], counts["refused"], service.dead_lettered) == (EVENTS, 0, 0)
    assert service.exit_status == 0


def test_memory_stays_within_its_budget(service: Measured) -> None:
    assert 0 < service.peak_mib <= MAX_PEAK_MIB


def test_a_missed_target_is_a_miss(service: Measured) -> None:
    against_itself = {target.name: target.met for target in targets_of(service, service, 0)}
    assert not against_itself["events a second, of boto3's floor, at 0 ms"]
    assert not against_itself["CPU an event, of boto3's floor, at 0 ms"]
    assert against_itself["calls an event at 0 ms"]


def test_its_metrics_lines_are_valid_emf_and_count_every_event(consumer: Consumer) -> None:
    lines = [line for line in consumer.output().splitlines() if "_aws" in json.loads(line)]
    shown = [validated(line) for line in lines]
    assert sum(line["Applied"] for line in shown) == EVENTS + WARM_UP
    assert all(line["MetricsRefused"] == line["LogLinesLost"] == 0 for line in shown)
    assert max(max(line["BatchFill"]) for line in shown) == 50
