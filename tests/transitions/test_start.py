"""The start of this half: a missing resource is one line, and probes may be refused."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.settings import SettingsError
from processor.startup_checks import StartError
from tests.resources import fresh_name
from tests.transitions.rig import service_error
from tests.transitions.running import Make, Run, Switch, bodies_of
from tests.transitions.test_outages import REFUSED

ANOTHER = r"^SQS_EXPORT_EVENTS_DLQ_URL must name another queue"
NOT_THERE = "does not exist in this region and account"


@pytest.mark.parametrize(
    ("operation", "error", "line"),
    [
        ("get_queue_attributes", REFUSED, "the event queue cannot be reached"),
        ("describe_table", service_error("ResourceNotFoundException"), f"the table {{table}} {NOT_THERE}"),
        ("get_queue_url", service_error("QueueDoesNotExist"), f"the dead-letter queue {NOT_THERE}"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_missing_at_the_start_is_one_line(
    make: Make, operation: str, error: Exception, line: str
) -> None:
    missing = Switch(error)
    made = make({operation: missing})
    with pytest.raises(StartError) as refused:
        made.start()
    assert str(refused.value).split(" (")[0] == line.format(table=made.table)
    assert missing.stopped == 1, "the service repeats the start, not the check"
    assert made.operations()["receive_message"] == 0


def test_a_configured_dead_letter_queue_that_is_missing_ends_the_start(make: Make) -> None:
    made = make(settings={"SQS_EXPORT_EVENTS_DLQ_URL": f"{make().queue_url}-missing"})
    with pytest.raises(StartError, match=f"^the dead-letter queue {NOT_THERE}"):
        made.start()


def test_the_event_queue_is_no_dead_letter_queue_under_its_own_or_another_url(make: Make) -> None:
    def resolve(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        return method(**{**arguments, "QueueUrl": made.queue_url})

    url = make().queue_url
    made = make(settings={"SQS_EXPORT_EVENTS_QUEUE_URL": url, "SQS_EXPORT_EVENTS_DLQ_URL": url})
    with pytest.raises(SettingsError, match=ANOTHER):
        made.start()
    settings = {"SQS_EXPORT_EVENTS_DLQ_URL": "http://localhost/123456789012/alias"}
    made = make({"get_queue_attributes": resolve}, settings)
    with pytest.raises(SettingsError, match=ANOTHER):
        made.start()


def test_a_queue_that_refuses_receives_keeps_the_half_waiting(make: Make) -> None:
    denied = Switch(service_error("AccessDenied"))
    made = make({"receive_message": denied})
    with pytest.raises(StartError, match=r"^the event queue refuses receives \(ReceiveMessage: AccessDenied"):
        made.start()
    denied.on = False
    made.send(*bodies_of(3))
    made.start()
    made.wait_until_empty()
    made.stop()


def test_without_a_dead_letter_queue_the_setting_is_named(make: Make) -> None:
    def without_redrive(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = method(**arguments)
        del answer["Attributes"]["RedrivePolicy"]
        return answer

    with pytest.raises(SettingsError, match=r"^SQS_EXPORT_EVENTS_DLQ_URL must be set to the dead-letter"):
        make({"get_queue_attributes": without_redrive}).start()


@pytest.mark.parametrize(
    ("operation", "events"),
    [
        ("get_queue_attributes", ["queue_attributes_unknown", "dead_letter_queue_not_read"]),
        ("describe_table", ["table_not_described"]),
    ],
)
def test_a_probe_that_is_refused_is_a_warning(
    make: Make, run: Run, logged: list[Any], operation: str, events: list[str]
) -> None:
    dlq_url = make().sqs.create_queue(QueueName=fresh_name("dlq"))["QueueUrl"]
    denied = Switch(service_error("AccessDeniedException"))
    settings = {"SQS_EXPORT_EVENTS_DLQ_URL": dlq_url}
    with run(*bodies_of(1), hooks={operation: denied}, settings=settings) as service:
        service.wait_until_empty()
    lines = {line["event"]: line["log_level"] for line in logged if "AccessDenied" in line.get("error", "")}
    assert lines == dict.fromkeys(events, "warning")
