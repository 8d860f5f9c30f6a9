"""The proxy passes calls on, and each fault has on the service's clients the effect of its name."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import IteratorExpired, Transient
from processor.settings import AwsSettings
from tests.faults.fault_plan import Episode, Fault, FaultPlan
from tests.faults.proxy import FaultProxy
from tests.support.proxy import Answer, Request
from tests.support.proxy import proxy as stand_in
from tests.waiting import eventually

KEY = {"leaseKey": {"S": "a"}}
LEASES = "leases"


class Emulator:
    """Answers every call with nothing, and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def treat(self, request: Request, _: object) -> Answer:
        """Answers a request."""
        body = json.loads(request.body)
        operation = request.target.partition(".")[2]
        self.requests.append((operation, body))
        return Answer(200, b"{}")


class Bench:
    """The service's clients, the proxy that they lead to, and the emulator behind it."""

    def __init__(self, proxy: FaultProxy, url: str, emulator: Emulator) -> None:
        self.proxy = proxy
        self.emulator = emulator
        services = ("sqs", "dynamodb", "dynamodbstreams", "kinesis")
        settings = AwsSettings(
            region="us-east-1",
            endpoints=dict.fromkeys(services, url),
            access_key_id="a",
            secret_access_key="a",
        )
        self.aws = Aws(settings, poll_seconds=1)

    def always(self, fault: Fault, *, seed: int = 1) -> None:
        """From now on every call has this fault, and the requests so far are forgotten."""
        self.emulator.requests.clear()
        self.proxy.set_plan(FaultPlan(seed=seed, rates={fault: 1.0}))

    def call(self, service: str) -> object:
        """Calls a service."""
        return CALLS[service](self.aws)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    emulator = Emulator()
    services = ("SQS", "Status", "Leases", "Streams", "Kinesis")
    with stand_in("http://127.0.0.1:1", emulator.treat) as behind:
        proxy = FaultProxy(
            dict.fromkeys(services, behind), None, leases_table=LEASES, poll_seconds=1, visibility_seconds=30
        )
        with proxy.running() as url:
            yield Bench(proxy, url, emulator)


CALLS: dict[str, Callable[[Aws], object]] = {
    "SQS": lambda aws: call(aws.receiving().receive_message, QueueUrl="q"),
    "Status": lambda aws: call(aws.dynamodb().get_item, TableName="status", Key=KEY),
    "Leases": lambda aws: call(aws.dynamodb().get_item, TableName=LEASES, Key=KEY),
    "Streams": lambda aws: call(aws.streams().list_streams, TableName="status"),
    "Kinesis": lambda aws: call(aws.kinesis().describe_stream_summary, StreamName="s"),
}
each_service = pytest.mark.parametrize("service", list(CALLS))


@each_service
def test_without_a_plan_a_call_reaches_its_emulator(service: str, bench: Bench) -> None:
    bench.always(Fault.NONE)
    before = bench.proxy.seen
    bench.call(service)
    [(operation, _)] = bench.proxy.seen - before
    assert operation.partition(".") == (service, ".", bench.emulator.requests[0][0])


@each_service
@pytest.mark.parametrize("fault", [Fault.THROTTLE, Fault.ERROR])
def test_a_refused_call_may_be_tried_again_and_is_not_passed_on(
    service: str, fault: Fault, bench: Bench
) -> None:
    for seed in range(6):  # each service has several codes
        bench.always(fault, seed=seed)
        with pytest.raises(Transient) as refused:
            bench.call(service)
        assert refused.value.throttled is (fault is Fault.THROTTLE), refused.value
        assert not bench.emulator.requests


def test_a_throttled_read_of_records_may_be_an_old_iterator(bench: Bench) -> None:
    seen = set()
    for seed in range(12):
        bench.always(Fault.THROTTLE, seed=seed)
        with pytest.raises((Transient, IteratorExpired)) as refused:
            call(bench.aws.streams().get_records, ShardIterator="i")
        seen.add(refused.type)
    assert seen == {Transient, IteratorExpired}


@pytest.mark.parametrize(
    ("fault", "times_out", "passed_on", "in_the_end"),
    [
        (Fault.RESET, False, 0, 0),
        (Fault.LOST_ANSWER, False, 1, 1),
        (Fault.STALL, True, 0, 0),
        (Fault.LATE_REQUEST, True, 0, 1),
        (Fault.LATE_ANSWER, True, 1, 1),
    ],
)
def test_a_call_without_an_answer_takes_effect_at_once_or_later_or_not(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    *,
    times_out: bool,
    passed_on: int,
    in_the_end: int,
) -> None:
    pauses: list[float] = []
    given_up = threading.Event()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        given_up.wait()

    monkeypatch.setattr(bench.proxy, "pause", pause)
    bench.always(fault)
    with pytest.raises(Transient) as failed:
        bench.call("Status")
    assert ("ReadTimeout" in str(failed.value)) is times_out
    assert pauses == ([3.5] if times_out else []), "longer than the client waits"
    assert len(bench.emulator.requests) == passed_on
    given_up.set()
    eventually(lambda: len(bench.emulator.requests) == in_the_end)


def test_an_episode_stops_one_service_and_no_other(bench: Bench) -> None:
    bench.proxy.set_plan(FaultPlan(episodes=(Episode("Leases.", Fault.ERROR, 0.0, 60.0),)))
    bench.call("Status")
    with pytest.raises(Transient):
        bench.call("Leases")


def test_a_plan_gives_the_same_call_the_same_fault() -> None:
    plan = FaultPlan(seed=3, rates={Fault.RESET: 0.3, Fault.ERROR: 0.3})
    faults = [plan.fault("SQS.ReceiveMessage", number, 0.0)[0] for number in range(200)]
    assert faults == [plan.fault("SQS.ReceiveMessage", number, 5.0)[0] for number in range(200)]
    assert set(faults) == {Fault.NONE, Fault.RESET, Fault.ERROR}
