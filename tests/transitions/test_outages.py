"""The table, the queues or single entries fail: nothing is lost or wrongly dead-lettered, all recovers."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from processor.aws.clients import Aws
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import Diagnosis, check
from processor.observability.metrics import Metric
from processor.settings import AwsSettings
from tests.handlers.making import body, text_at
from tests.transitions.rig import counted, service_error, timeout
from tests.transitions.running import Hook, Running, running
from tests.transitions.test_pipeline import AT_ONCE
from tests.waiting import eventually

CREATED_AT = text_at(0)
REFUSED = EndpointConnectionError(endpoint_url="http://127.0.0.1")
OUTAGES = {
    "refused": REFUSED,
    "silent": timeout(),
    "5xx": service_error("InternalServerError", 500),
    "throttled": service_error("ProvisionedThroughputExceededException"),
    "denied": service_error("AccessDeniedException"),
    "missing": service_error("ResourceNotFoundException"),
    "credentials": service_error("ExpiredTokenException"),
}


class Switch:
    """A hook that raises while it is on, and counts what it stopped."""

    def __init__(self, error: Exception, *, on: bool = True) -> None:
        self._error = error
        self.on = on
        self.stopped = 0

    def __call__(self, method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Raises or passes on."""
        if self.on:
            self.stopped += 1
            raise self._error
        return method(**arguments)


def bodies_of(number: int) -> list[str]:
    return [body(requestId=f"r{index}", createdAt=CREATED_AT) for index in range(number)]


def health_of(service: Running) -> Diagnosis:
    """What a health check would say now."""
    service.health.write()
    return check(service.health_file)


def nobody_receives_while_probes_go_on(service: Running, outage: Switch) -> bool:
    received, probes = service.operations()["receive_message"], outage.stopped
    eventually(lambda: outage.stopped >= probes + 10)
    return service.operations()["receive_message"] == received


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
def test_while_the_table_is_down_nothing_is_received_and_then_everything_is_applied(
    embedded_aws: EmbeddedAws, tmp_path: Path, error: Exception
) -> None:
    outage = Switch(error)
    with running(
        embedded_aws,
        tmp_path,
        bodies=bodies_of(30),
        hooks={"update_item": outage, **AT_ONCE},
        settings={"EXPORT_RECEIVERS": "3"},
        max_receive_count=4,
    ) as service:
        eventually(lambda: counted(service.metrics, Metric.STORE_PAUSED) == 1)
        eventually(lambda: nobody_receives_while_probes_go_on(service, outage), 20)
        eventually(lambda: service.left() == 30)
        outage.on = False
        service.wait_until_empty()
        assert all(service.item(f"r{index}") for index in range(30))
        assert service.dead() == []


def test_one_item_that_dynamodb_refuses_never_pauses_polling(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any]
) -> None:
    def refuse_one(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if arguments["Key"]["requestId"]["S"] == "bad":
            raise service_error("ValidationException")
        return method(**arguments)

    bodies = [body(requestId="bad"), *bodies_of(5)]
    with running(embedded_aws, tmp_path, bodies=bodies, hooks={"update_item": refuse_one}) as service:
        service.wait_until_empty()
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"]) == (bodies[0], "invalid")
        assert "ValidationException" in copy["rejectionReason"]
    assert "store_paused" not in [line["event"] for line in logged]


# Receiving


def test_receives_that_fail_are_repeated_and_lose_nothing(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    errors: list[Exception] = [
        REFUSED,
        timeout(),
        service_error("OverLimit"),
        service_error("RequestThrottled"),
        service_error("KmsThrottled"),
        service_error("InternalError", 500),
    ]

    def fail_first(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if errors:
            raise errors.pop()
        return method(**arguments)

    with running(
        embedded_aws, tmp_path, bodies=bodies_of(3), hooks={"receive_message": fail_first}
    ) as service:
        service.wait_until_empty()
        assert service.count("ReceiveErrors") == 6
        assert service.count("Applied") == 3


def test_a_queue_that_vanishes_and_comes_back_is_only_waited_for(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    gone = Switch(service_error("AWS.SimpleQueueService.NonExistentQueue"), on=False)
    with running(embedded_aws, tmp_path, bodies=bodies_of(1), hooks={"receive_message": gone}) as service:
        service.wait_until_empty()
        gone.on = True
        eventually(lambda: gone.stopped >= 6)
        assert health_of(service).degraded == (
            "event queue: ReceiveMessage: AWS.SimpleQueueService.NonExistentQueue",
        )
        gone.on = False
        service.send(*bodies_of(2))
        service.wait_until_empty()
        assert health_of(service).degraded == ()
        assert service.deaths == []


# Deletes


def failing_entries(handles_of: Callable[[list[dict[str, Any]]], list[str]], *, sender: bool = False) -> Hook:
    """Fails some entries of each batch: the ids that `handles_of` picks."""

    def hook(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        failed = handles_of(arguments["Entries"])
        passed = [entry for entry in arguments["Entries"] if entry["Id"] not in failed]
        answer = method(**{**arguments, "Entries": passed}) if passed else {"Successful": []}
        entries = [
            {
                "Id": each,
                "Code": "ReceiptHandleIsInvalid" if sender else "InternalError",
                "SenderFault": sender,
            }
            for each in failed
        ]
        return {**answer, "Failed": entries}

    return hook


@pytest.mark.parametrize(
    "hook",
    [
        Switch(service_error("ServiceUnavailable", 503)),
        Switch(timeout()),
        failing_entries(lambda entries: [entry["Id"] for entry in entries]),
    ],
    ids=["calls fail", "no answers", "all entries fail"],
)
def test_while_no_delete_works_the_service_goes_on_and_then_recovers(
    embedded_aws: EmbeddedAws, tmp_path: Path, hook: Any
) -> None:
    """Applied events come back as duplicates; new ones are applied all the time; no receiver is stuck."""
    hooks: dict[str, Hook] = {"delete_message_batch": hook}
    with running(
        embedded_aws, tmp_path, bodies=bodies_of(10), hooks=hooks, settings={"EXPORT_RECEIVERS": "2"},
        visibility_seconds=30, before=shorten_visibility,
    ) as service:  # fmt: skip
        eventually(lambda: service.count("Applied") >= 10)
        for number in range(10, 15):
            service.send(body(requestId=f"r{number}", createdAt=CREATED_AT))
            eventually(lambda number=number: service.item(f"r{number}"))  # type: ignore[misc]
        eventually(lambda: service.count("Duplicate") >= 10, 20)
        # A message that becomes visible meanwhile is in no count, or in two.
        eventually(lambda: service.left() == 15)
        del hooks["delete_message_batch"]
        service.wait_until_empty()
        assert service.count("Applied") == 15
        assert service.dead() == []


@pytest.fixture
def silent_sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The service's own client for short calls, with a tenth of its time-out, on a server that takes
    connections and never answers."""
    monkeypatch.setattr("processor.aws.clients.SETTLE_ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield Aws(
            AwsSettings("us-east-1", endpoint_url=url, access_key_id="a", secret_access_key="b")
        ).settling()


def test_while_deletes_get_no_answer_a_cycle_stays_short_and_health_good(
    embedded_aws: EmbeddedAws, tmp_path: Path, silent_sqs: Any
) -> None:
    sent: list[str] = []
    silent_sqs.meta.events.register("before-send", lambda request, **_: sent.append(request.url))
    hooks: dict[str, Hook] = {
        "delete_message_batch": lambda _, arguments: silent_sqs.delete_message_batch(**arguments)
    }
    with running(embedded_aws, tmp_path, bodies=bodies_of(20), hooks=hooks) as service:
        eventually(lambda: service.operations()["delete_message_batch"] >= 1)
        service.send(body(requestId="new", createdAt=CREATED_AT))
        # Two batches of deletes: three tries and one, 0.3 s each.
        eventually(lambda: service.item("new"), 5)
        assert health_of(service).problems == ()
        assert service.operations()["delete_message_batch"] >= 4
        eventually(lambda: service.left() == 21)
    assert len(sent) == service.operations()["delete_message_batch"], "a call is one request"


def shorten_visibility(service: Running) -> None:
    """What could not be deleted comes back within a second; the service has read 30 s before."""
    receive = service.aws._receive

    def briefly(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        return receive(method, {**arguments, "VisibilityTimeout": 1})

    service.aws._receive = briefly  # type: ignore[method-assign] # the test's own double


# Dead letters


def test_a_message_is_deleted_only_after_the_dead_letter_queue_took_its_copy(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any]
) -> None:
    down = Switch(service_error("ServiceUnavailable", 503))
    with running(
        embedded_aws, tmp_path, bodies=["poison"], hooks={"send_message_batch": down, **AT_ONCE}
    ) as service:
        eventually(lambda: down.stopped >= 6)
        eventually(lambda: service.left() == 1)
        assert service.operations()["delete_message_batch"] == 0
        down.on = False
        service.wait_until_empty()
        assert [copy["body"] for copy in service.dead()] == ["poison"]
    failed = [line for line in logged if line["event"] == "dead_letter_failed"]
    assert {line["consequence"] for line in failed} == {"tried again later"}


def test_a_copy_whose_original_could_not_be_deleted_appears_again_with_the_same_source(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    hooks: dict[str, Hook] = {"delete_message_batch": Switch(timeout())}
    with running(
        embedded_aws, tmp_path, bodies=["poison"], hooks=hooks, before=shorten_visibility
    ) as service:
        eventually(lambda: service.count("DeadLettered") >= 2)
        del hooks["delete_message_batch"]
        service.wait_until_empty()
        copies = service.dead()
    assert len(copies) >= 2
    assert len({copy["sourceMessageId"] for copy in copies}) == 1


def test_a_copy_that_the_queue_refuses_is_left_to_the_queue_s_own_redrive(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any]
) -> None:
    hook = failing_entries(lambda entries: [entry["Id"] for entry in entries], sender=True)
    with running(
        embedded_aws, tmp_path, bodies=["poison"], hooks={"send_message_batch": hook, **AT_ONCE},
        max_receive_count=2,
    ) as service:  # fmt: skip
        service.wait_until_empty()  # the queue itself moves it on the third receive
        [copy] = service.dead()
        assert copy["body"] == "poison"
        assert "rejectionOutcome" not in copy
    failed = [line for line in logged if line["event"] == "dead_letter_failed"]
    assert {line["consequence"] for line in failed} == {"left to the queue's own redrive"}


# Deaths


def test_whatever_ends_a_receiver_is_reported_with_its_name(
    embedded_aws: EmbeddedAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unexpected(BaseException):
        """Nothing that anybody would catch."""

    def fail(*_: Any) -> Any:
        raise Unexpected

    monkeypatch.setattr("processor.transitions.applier.Applier.apply", fail)
    made = Running(embedded_aws, tmp_path, {}, {"EXPORT_RECEIVERS": "2"}, {})
    made.send(*bodies_of(1))
    made.pipeline.start(threading.Event())
    [(name, error)] = eventually(lambda: made.deaths)
    assert name in {"receiver-0", "receiver-1"}
    assert isinstance(error, Unexpected)
    made.stop()
    assert made.left() == 1
