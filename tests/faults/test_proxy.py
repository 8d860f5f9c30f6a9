"""The proxy passes calls on, and each fault has on the service's clients the effect of its name."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from processor.aws.calls import call
from processor.aws.clients import Aws
from processor.aws.errors import IteratorExpired, Transient
from processor.settings import AwsSettings
from tests.faults.fault_plan import Episode, Fault, FaultPlan
from tests.faults.proxy_process import ProxyProcess
from tests.support.proxy import Answer, Request
from tests.support.proxy import proxy as stand_in
from tests.waiting import eventually

KEY = {"leaseKey": {"S": "a"}}
LEASES = "leases"


class Upstream:
    """An emulator that answers every call with what its request asks for, and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []

    async def treat(self, request: Request, _: object) -> Answer:
        """Answers a request."""
        body = json.loads(request.body)
        operation = request.target.partition(".")[2]
        self.requests.append((operation, body))
        return Answer(200, json.dumps(self.answer(operation, body)).encode())

    def answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the emulator would answer."""
        match operation:
            case "DeleteMessageBatch":
                return {"Successful": [{"Id": each["Id"]} for each in body["Entries"]], "Failed": []}
            case "BatchExecuteStatement":
                return {"Responses": [{"TableName": each["Statement"]} for each in body["Statements"]]}
            case "PutRecords":
                records = [{"SequenceNumber": "1", "ShardId": "s"} for _ in body["Records"]]
                return {"FailedRecordCount": 0, "Records": records}
            case _:
                return {}


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[ProxyProcess, Upstream]]:
    upstream = Upstream()
    services = ("SQS", "Status", "Leases", "Streams", "Kinesis")
    with stand_in("http://127.0.0.1:1", upstream.treat) as url:
        configuration = {
            "upstreams": dict.fromkeys(services, url),
            "table": "status",
            "leases_table": LEASES,
            "shards": 0,
            "poll_seconds": 1,
            "visibility_seconds": 30,
        }
        with ProxyProcess(configuration) as process:
            yield process, upstream


@pytest.fixture
def proxy(started: tuple[ProxyProcess, Upstream]) -> ProxyProcess:
    """The proxy without a plan."""
    started[0].set_plan(FaultPlan())
    return started[0]


@pytest.fixture
def upstream(started: tuple[ProxyProcess, Upstream]) -> Upstream:
    """The upstream without requests."""
    started[1].requests.clear()
    return started[1]


@pytest.fixture(scope="module")
def aws(started: tuple[ProxyProcess, Upstream]) -> Aws:
    """The service's clients, which lead to the proxy."""
    services = ("sqs", "dynamodb", "dynamodbstreams", "kinesis")
    return Aws(
        AwsSettings(
            region="us-east-1",
            endpoints=dict.fromkeys(services, started[0].endpoint_url),
            access_key_id="a",
            secret_access_key="a",
        ),
        poll_seconds=1,
    )


def always(fault: Fault, *, seed: int = 1) -> FaultPlan:
    return FaultPlan(seed=seed, rates={fault: 1.0})


CALLS: dict[str, Callable[[Aws], object]] = {
    "SQS": lambda aws: call(aws.receiving().receive_message, QueueUrl="q"),
    "Status": lambda aws: call(aws.dynamodb().get_item, TableName="status", Key=KEY),
    "Leases": lambda aws: call(aws.dynamodb().get_item, TableName=LEASES, Key=KEY),
    "Streams": lambda aws: call(aws.streams().list_streams, TableName="status"),
    "Kinesis": lambda aws: call(aws.kinesis().describe_stream_summary, StreamName="s"),
}
each_service = pytest.mark.parametrize("service", list(CALLS))


@each_service
def test_without_a_plan_a_call_reaches_its_emulator(
    service: str, aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    before = proxy.control({})["calls"]
    CALLS[service](aws)
    calls = proxy.control({})["calls"]
    [operation] = [name for name, count in calls.items() if count > before.get(name, 0)]
    assert operation.partition(".") == (service, ".", upstream.requests[0][0])


@each_service
def test_a_throttled_call_is_known_as_throttled_and_not_passed_on(
    service: str, aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    for seed in range(6):  # each service has several codes
        proxy.set_plan(always(Fault.THROTTLE, seed=seed))
        with pytest.raises(Transient) as refused:
            CALLS[service](aws)
        assert refused.value.throttled, refused.value
    assert not upstream.requests


@each_service
def test_a_failed_call_may_be_tried_again(
    service: str, aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    for seed in range(6):
        proxy.set_plan(always(Fault.ERROR, seed=seed))
        with pytest.raises(Transient) as failed:
            CALLS[service](aws)
        assert not failed.value.throttled
    assert not upstream.requests


def test_a_throttled_read_of_records_may_be_an_old_iterator(aws: Aws, proxy: ProxyProcess) -> None:
    seen = set()
    for seed in range(12):
        proxy.set_plan(always(Fault.THROTTLE, seed=seed))
        with pytest.raises((Transient, IteratorExpired)) as refused:
            call(aws.streams().get_records, ShardIterator="i")
        seen.add(refused.type)
    assert seen == {Transient, IteratorExpired}


def test_a_reset_happens_before_the_call_and_a_lost_answer_after_it(
    aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    for fault, passed_on in ((Fault.RESET, 0), (Fault.LOST_ANSWER, 1)):
        proxy.set_plan(always(fault))
        with pytest.raises(Transient):
            CALLS["Status"](aws)
        assert len(upstream.requests) == passed_on


def test_a_stalled_call_runs_into_the_clients_timeout_and_is_not_passed_on(
    aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    proxy.set_plan(always(Fault.STALL))
    began = time.monotonic()
    with pytest.raises(Transient, match="ReadTimeout"):
        CALLS["Status"](aws)
    assert time.monotonic() - began >= 2.9
    assert not upstream.requests


def test_a_late_request_takes_effect_after_the_client_timed_out(
    aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    proxy.set_plan(always(Fault.LATE_REQUEST))
    with pytest.raises(Transient, match="ReadTimeout"):
        CALLS["Status"](aws)
    assert not upstream.requests
    eventually(lambda: upstream.requests)


def test_a_late_answer_belongs_to_a_call_that_took_effect_at_once(
    aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    proxy.set_plan(always(Fault.LATE_ANSWER))
    with pytest.raises(Transient, match="ReadTimeout"):
        CALLS["Status"](aws)
    assert len(upstream.requests) == 1


def test_some_entries_of_a_batch_fail_and_the_others_take_effect(
    aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    for seed in range(10):
        upstream.requests.clear()
        proxy.set_plan(always(Fault.PARTIAL, seed=seed))
        entries = [{"Id": str(number), "ReceiptHandle": "h"} for number in range(10)]
        answer = call(aws.sqs().delete_message_batch, QueueUrl="q", Entries=entries)
        done = {each["Id"] for each in answer.get("Successful", [])}
        failed = {each["Id"] for each in answer["Failed"]}
        arrived = {each["Id"] for _, body in upstream.requests for each in body["Entries"]}
        assert done | failed == {each["Id"] for each in entries}
        assert not done & failed
        assert done <= arrived, "reported entries have taken effect"
        assert failed


def test_statements_and_records_fail_in_their_places(
    aws: Aws, proxy: ProxyProcess, upstream: Upstream
) -> None:
    proxy.set_plan(always(Fault.PARTIAL))
    statements = [{"Statement": f"statement-{number}"} for number in range(10)]
    responses = call(aws.dynamodb().batch_execute_statement, Statements=statements)["Responses"]
    assert [
        each.get("TableName", statement["Statement"])
        for each, statement in zip(responses, statements, strict=True)
    ] == [statement["Statement"] for statement in statements]
    assert any("Error" in each for each in responses)
    records = [{"Data": b"a", "PartitionKey": str(number)} for number in range(10)]
    answer = call(aws.kinesis().put_records, StreamName="s", Records=records)
    assert answer["FailedRecordCount"] == sum("ErrorCode" in each for each in answer["Records"]) > 0
    assert len(answer["Records"]) == len(records)


def test_an_episode_stops_one_service_and_no_other(aws: Aws, proxy: ProxyProcess) -> None:
    proxy.set_plan(FaultPlan(episodes=(Episode("Leases.", Fault.ERROR, 0.0, 60.0),)))
    CALLS["Status"](aws)
    with pytest.raises(Transient):
        CALLS["Leases"](aws)


def test_a_plan_gives_the_same_call_the_same_fault() -> None:
    plan = FaultPlan(seed=3, rates={Fault.RESET: 0.3, Fault.ERROR: 0.3})
    again = FaultPlan.from_json(json.loads(json.dumps(plan.to_json())))
    faults = [plan.fault("SQS.ReceiveMessage", number, 0.0)[0] for number in range(200)]
    assert faults == [again.fault("SQS.ReceiveMessage", number, 5.0)[0] for number in range(200)]
    assert set(faults) == {Fault.NONE, Fault.RESET, Fault.ERROR}
