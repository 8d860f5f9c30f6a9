"""The table, the queues or single entries fail: nothing is lost or wrongly dead-lettered, all recovers."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from tests.handlers.making import body, text_at
from tests.transitions.rig import service_error, timeout
from tests.transitions.running import AT_ONCE, Hook, Make, Run, Running, Switch, bodies_of
from tests.waiting import eventually

REFUSED = EndpointConnectionError(endpoint_url="http://127.0.0.1")


def nobody_receives_while_probes_go_on(service: Running, outage: Switch) -> bool:
    received, probes = service.operations()["receive_message"], outage.stopped
    eventually(lambda: outage.stopped >= probes + 10)
    return service.operations()["receive_message"] == received


@pytest.mark.parametrize(
    "error",
    [
        timeout(),
        service_error("ProvisionedThroughputExceededException"),
        service_error("AccessDeniedException"),
    ],
    ids=["silent", "throttled", "denied"],
)
def test_while_the_table_is_down_nothing_is_received_and_then_everything_is_applied(
    run: Run, error: Exception
) -> None:
    outage = Switch(error)
    with run(
        *bodies_of(30),
        hooks={"update_item": outage, **AT_ONCE},
        settings={"EXPORT_RECEIVERS": "3"},
        max_receive_count=4,
    ) as service:
        eventually(lambda: service.diagnosis().degraded)
        eventually(lambda: nobody_receives_while_probes_go_on(service, outage))
        eventually(lambda: service.left() == 30)
        outage.on = False
        service.wait_until_empty()
        assert all(service.item(f"r{index}") for index in range(30))
        assert service.dead() == []


def test_one_item_that_dynamodb_refuses_never_pauses_polling(run: Run, logged: list[Any]) -> None:
    def refuse_one(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if arguments["Key"]["requestId"]["S"] == "bad":
            raise service_error("ValidationException")
        return method(**arguments)

    bodies = [body(requestId="bad"), *bodies_of(5)]
    with run(*bodies, hooks={"update_item": refuse_one}) as service:
        service.wait_until_empty()
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"]) == (bodies[0], "invalid")
        assert "ValidationException" in copy["rejectionReason"]
    assert "store_paused" not in [line["event"] for line in logged]


def test_a_queue_that_vanishes_and_comes_back_is_only_waited_for(run: Run) -> None:
    gone = Switch(service_error("AWS.SimpleQueueService.NonExistentQueue"), on=False)
    with run(*bodies_of(1), hooks={"receive_message": gone}) as service:
        service.wait_until_empty()
        gone.on = True
        eventually(lambda: gone.stopped >= 6)
        assert service.diagnosis().degraded == (
            "event queue: ReceiveMessage: AWS.SimpleQueueService.NonExistentQueue",
        )
        gone.on = False
        service.send(*bodies_of(2))
        service.wait_until_empty()
        assert service.diagnosis().degraded == ()
        assert service.count("ReceiveErrors") == gone.stopped


def briefly(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What could not be deleted comes back within a second; the service has read 30 s before."""
    return method(**{**arguments, "VisibilityTimeout": 1})


@pytest.mark.parametrize("error", [service_error("ServiceUnavailable", 503), timeout()], ids=str)
def test_while_no_delete_works_the_service_goes_on_and_then_recovers(run: Run, error: Exception) -> None:
    """Applied events come back as duplicates; new ones are applied all the time; no receiver is stuck."""
    hooks: dict[str, Hook] = {"delete_message_batch": Switch(error), "receive_message": briefly}
    settings = {"EXPORT_RECEIVERS": "2"}
    with run(*bodies_of(10), hooks=hooks, settings=settings, visibility_seconds=30) as service:
        eventually(lambda: service.count("Applied") >= 10)
        for number in range(10, 15):
            service.send(body(requestId=f"r{number}", createdAt=text_at(0)))
            eventually(lambda number=number: service.item(f"r{number}"))  # type: ignore[misc]
        eventually(lambda: service.count("Duplicate") >= 10)
        # A message that becomes visible meanwhile is in no count, or in two.
        eventually(lambda: service.left() == 15)
        assert service.diagnosis().problems == ()
        del hooks["delete_message_batch"]
        service.wait_until_empty()
        assert service.count("Applied") == 15
        assert service.dead() == []


# Dead letters


def test_a_message_is_deleted_only_after_the_dead_letter_queue_took_its_copy(
    run: Run, logged: list[Any]
) -> None:
    down = Switch(service_error("ServiceUnavailable", 503))
    with run("poison", hooks={"send_message_batch": down, **AT_ONCE}) as service:
        eventually(lambda: down.stopped >= 6)
        eventually(lambda: service.left() == 1)
        assert service.operations()["delete_message_batch"] == 0
        down.on = False
        service.wait_until_empty()
        assert [copy["body"] for copy in service.dead()] == ["poison"]
    failed = [line for line in logged if line["event"] == "dead_letter_failed"]
    assert {(line["messages"], line["refused"]) for line in failed} == {(1, 0)}


def test_a_copy_whose_original_could_not_be_deleted_appears_again_with_the_same_source(run: Run) -> None:
    hooks: dict[str, Hook] = {"delete_message_batch": Switch(timeout()), "receive_message": briefly}
    with run("poison", hooks=hooks) as service:
        eventually(lambda: service.count("DeadLettered") >= 2)
        del hooks["delete_message_batch"]
        service.wait_until_empty()
        copies = service.dead()
    assert len(copies) >= 2
    assert len({copy["sourceMessageId"] for copy in copies}) == 1


def test_a_copy_that_the_queue_refuses_is_left_to_the_queue_s_own_redrive(
    run: Run, logged: list[Any]
) -> None:
    def refuse(_method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        refused = {"Code": "InvalidMessageContents", "SenderFault": True}
        return {"Failed": [{"Id": entry["Id"], **refused} for entry in arguments["Entries"]]}

    with run("poison", hooks={"send_message_batch": refuse, **AT_ONCE}, max_receive_count=2) as service:
        service.wait_until_empty()  # the queue itself moves it on the third receive
        [copy] = service.dead()
        assert copy["body"] == "poison"
        assert "rejectionOutcome" not in copy
    failed = [line for line in logged if line["event"] == "dead_letter_failed"]
    assert {(line["messages"], line["refused"]) for line in failed} == {(1, 1)}


# Deaths


def test_whatever_ends_a_receiver_is_reported_with_its_name(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unexpected(BaseException):
        """Nothing that anybody would catch."""

    def fail(*_: Any) -> Any:
        raise Unexpected

    monkeypatch.setattr("processor.transitions.applier.Applier.apply", fail)
    made = make(settings={"EXPORT_RECEIVERS": "2"})
    made.send(*bodies_of(1))
    made.start()
    [(name, error)] = eventually(lambda: made.deaths)
    assert name in {"receiver-0", "receiver-1"}
    assert isinstance(error, Unexpected)
    made.stop()
    assert made.left() == 1
