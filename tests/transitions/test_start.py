"""The start of this half: a missing resource is one line, and probes may be refused."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from processor.localaws.embedded_aws import EmbeddedAws
from processor.settings import SettingsError
from processor.startup_checks import StartError
from tests.resources import fresh_name
from tests.transitions.rig import service_error
from tests.transitions.running import Running, running
from tests.transitions.test_outages import REFUSED, Switch, bodies_of


@pytest.mark.parametrize(
    ("operation", "error", "line"),
    [
        (
            "get_queue_attributes",
            service_error("AWS.SimpleQueueService.NonExistentQueue"),
            "the event queue does not exist in this region and account (GetQueueAttributes: {code})",
        ),
        (
            "get_queue_attributes",
            REFUSED,
            "the event queue cannot be reached (GetQueueAttributes: EndpointConnectionError)",
        ),
        (
            "describe_table",
            service_error("ResourceNotFoundException"),
            "the table {table} does not exist in this region and account (DescribeTable: {code})",
        ),
        (
            "describe_table",
            service_error("InternalServerError", 500),
            "the table {table} cannot be reached (DescribeTable: InternalServerError)",
        ),
        (
            "get_queue_url",
            service_error("QueueDoesNotExist"),
            "the dead-letter queue does not exist in this region and account (GetQueueUrl: {code})",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_missing_at_the_start_is_one_line(
    embedded_aws: EmbeddedAws, tmp_path: Path, operation: str, error: Exception, line: str
) -> None:
    missing = Switch(error)
    made = Running(embedded_aws, tmp_path, {operation: missing}, {}, {})
    with pytest.raises(StartError) as refused:
        made.pipeline.start(threading.Event())
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else ""
    assert str(refused.value) == line.format(table=made.table, code=code)
    assert missing.stopped == 1, "the service repeats the start, not the check"
    assert made.operations()["receive_message"] == 0


def test_a_configured_dead_letter_queue_that_is_missing_ends_the_start(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    settings = {"SQS_EXPORT_EVENTS_DLQ_URL": f"{embedded_aws.endpoint_url}/123456789012/no-such-queue"}
    made = Running(embedded_aws, tmp_path, {}, settings, {})
    with pytest.raises(StartError, match=r"^the dead-letter queue does not exist in this region and account"):
        made.pipeline.start(threading.Event())


def test_the_event_queue_as_its_own_dead_letter_queue_is_refused_before_any_call(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    url = f"{embedded_aws.endpoint_url}/123456789012/events"
    settings = {"SQS_EXPORT_EVENTS_QUEUE_URL": url, "SQS_EXPORT_EVENTS_DLQ_URL": url}
    made = Running(embedded_aws, tmp_path, {}, settings, {})
    with pytest.raises(SettingsError, match=r"^SQS_EXPORT_EVENTS_DLQ_URL must name another queue"):
        made.pipeline.start(threading.Event())
    assert made.aws.calls == []


def test_a_queue_that_refuses_receives_keeps_the_half_waiting(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    denied = Switch(service_error("AccessDenied"))
    made = Running(embedded_aws, tmp_path, {"receive_message": denied}, {}, {})
    with pytest.raises(StartError, match=r"^the event queue refuses receives \(ReceiveMessage: AccessDenied"):
        made.pipeline.start(threading.Event())
    denied.on = False
    made.send(*bodies_of(3))
    made.pipeline.start(threading.Event())
    made.wait_until_empty()
    made.stop()


def test_the_event_queue_under_another_url_is_no_dead_letter_queue(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    def resolve(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        return method(**{**arguments, "QueueUrl": made.queue_url})

    settings = {"SQS_EXPORT_EVENTS_DLQ_URL": "http://localhost/123456789012/alias"}
    made = Running(embedded_aws, tmp_path, {"get_queue_attributes": resolve}, settings, {})
    with pytest.raises(SettingsError, match=r"^SQS_EXPORT_EVENTS_DLQ_URL must name another queue"):
        made.pipeline.start(threading.Event())


def test_without_a_dead_letter_queue_the_setting_is_named(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    def without_redrive(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = method(**arguments)
        del answer["Attributes"]["RedrivePolicy"]
        return answer

    made = Running(embedded_aws, tmp_path, {"get_queue_attributes": without_redrive}, {}, {})
    with pytest.raises(
        SettingsError, match=r"^SQS_EXPORT_EVENTS_DLQ_URL must be set to the dead-letter queue"
    ):
        made.pipeline.start(threading.Event())


@pytest.mark.parametrize(
    ("operation", "events"),
    [
        ("get_queue_attributes", ["queue_attributes_unknown", "dead_letter_queue_not_read"]),
        ("describe_table", ["table_not_described"]),
    ],
)
def test_a_probe_that_is_refused_is_a_warning(
    embedded_aws: EmbeddedAws, tmp_path: Path, logged: list[Any], operation: str, events: list[str]
) -> None:
    dlq_url = embedded_aws.client("sqs").create_queue(QueueName=fresh_name("dlq"))["QueueUrl"]
    denied = Switch(service_error("AccessDeniedException"))
    with running(
        embedded_aws,
        tmp_path,
        bodies=bodies_of(1),
        hooks={operation: denied},
        settings={"SQS_EXPORT_EVENTS_DLQ_URL": dlq_url},
    ) as service:
        service.wait_until_empty()
    warnings = {
        line["event"]: line["log_level"] for line in logged if "AccessDenied" in line.get("error", "")
    }
    assert warnings == dict.fromkeys(events, "warning")
