"""The service as a process: settings first, signals, drain, deaths, and what it prints."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import Diagnosis, check
from tests.handlers.making import SECRET, SIGNED_URL
from tests.processor.place import ONLY_TRANSITIONS, Place, fresh, now_text, refused_endpoint, silent_server
from tests.resources import drained_messages
from tests.support.proxy import freezing_proxy, refusing_proxy
from tests.support.service import DRAIN_SECONDS, START_LIMIT_SECONDS, ServiceProcess
from tests.waiting import eventually

LONG_POLLS = {"EXPORT_DRAIN_SECONDS": "60"}
AT_ONCE_SECONDS = 18.0
"""Less than such a poll, which lasts 20 s, or the drain budget; enough on a busy machine."""


@pytest.fixture
def place(embedded_aws: EmbeddedAws) -> Place:
    return Place(embedded_aws)


# Settings and start


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"EXPORT_RECEIVERS": "many"}, "EXPORT_RECEIVERS must be a whole number from 1 to 64"),
        (
            {"SQS_EXPORT_EVENTS_QUEUE_URL": ""},
            "SQS_EXPORT_EVENTS_QUEUE_URL must be set to the URL of the event queue",
        ),
        (
            {"EXPORT_AUDIT_SINKS": "log,kinesis", "KINESIS_EXPORT_AUDIT_STREAM": ""},
            "KINESIS_EXPORT_AUDIT_STREAM must be set to the audit stream's name",
        ),
        ({"AWS_REGION": ""}, "AWS_REGION must be set to the region of the table, such as us-east-1"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY must be set together with AWS_ACCESS_KEY_ID"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_setting_is_one_line_and_exit_2_before_anything_is_called(
    tmp_path: Path, changes: dict[str, str], line: str
) -> None:
    settings = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_CONFIG_FILE": "/dev/null",
        "SQS_EXPORT_EVENTS_QUEUE_URL": "http://127.0.0.1:9/1/q",
        **changes,
    }
    with ServiceProcess(settings, tmp_path / "run") as service:
        assert service.process.wait(START_LIMIT_SECONDS) == 2
    assert service.errors.read_text() == f"export-status: {line}\n"
    assert service.output.read_text() == ""


def test_without_credentials_the_start_ends_with_one_line_and_exit_2(tmp_path: Path) -> None:
    settings = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SQS_EXPORT_EVENTS_QUEUE_URL": "http://127.0.0.1:9/1/q",
    }
    with ServiceProcess(settings, tmp_path / "run") as service:
        assert service.process.wait(START_LIMIT_SECONDS) == 2
    [line] = service.errors.read_text().splitlines()
    assert line.startswith(
        "export-status: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role must give"
    )


def test_settings_that_cannot_work_with_the_queue_are_one_line_and_exit_2(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    place = Place(embedded_aws, visibility_seconds=5)
    with ServiceProcess(place.settings(), tmp_path / "run", *ONLY_TRANSITIONS) as service:
        assert service.process.wait(START_LIMIT_SECONDS) == 2
    assert service.errors.read_text() == (
        "export-status: SQS_EXPORT_EVENTS_QUEUE_URL must name a queue that fits:"
        " VisibilityTimeout must be at least 30 s for a batch to be settled in, is 5 s\n"
    )


@pytest.mark.slow
def test_a_missing_table_ends_the_start_after_a_minute_with_one_line_and_exit_1(
    place: Place, tmp_path: Path
) -> None:
    settings = place.settings(DYNAMODB_EXPORT_STATUS_TABLE="no-such-table")
    with ServiceProcess(settings, tmp_path / "run") as service:
        assert service.process.wait(60 + START_LIMIT_SECONDS) == 1
        waiting = {line["part"] for line in service.lines("part_waiting")}
        assert waiting == {"transitions", "audit"}
    assert service.errors.read_text() == (
        "export-status: the table no-such-table does not exist in this region and account"
        " (DescribeTable: ResourceNotFoundException)\n"
    )
    assert not service.health_file.exists()


def test_a_queue_that_may_not_be_read_is_an_error_line_and_degraded(place: Place, tmp_path: Path) -> None:
    with (
        refusing_proxy(place.aws.endpoint_url, "AmazonSQS.ReceiveMessage", code="AccessDenied") as endpoint,
        ServiceProcess(
            place.settings(AWS_ENDPOINT_URL=endpoint, EXPORT_RECEIVERS="1"),
            tmp_path / "run",
            *ONLY_TRANSITIONS,
        ) as service,
    ):
        line = service.wait_for("part_waiting")
        problem = "the event queue refuses receives (ReceiveMessage: AccessDenied)"
        assert (line["level"], line["problem"]) == ("error", problem)
        unanswered = ("AWS has not answered the start of transitions yet",)
        waiting = Diagnosis(unanswered, (f"transitions: {problem}",))
        eventually(lambda: check(service.health_file) == waiting)
        status, _ = service.stop()
    assert status == 0


def test_transitions_work_while_kinesis_is_away(place: Place, tmp_path: Path) -> None:
    place.send(fresh())
    with refused_endpoint() as away:
        settings = place.settings(
            AWS_ENDPOINT_URL_KINESIS=away, EXPORT_AUDIT_SINKS="kinesis", KINESIS_EXPORT_AUDIT_STREAM="audit"
        )
        with ServiceProcess(settings, tmp_path / "run") as service:
            service.wait_for("start_waits")
            eventually(lambda: place.item("req-1"))
            status, _ = service.stop()
    assert status == 0


def test_the_audit_starts_while_sqs_is_away(place: Place, tmp_path: Path) -> None:
    with (
        refused_endpoint() as away,
        ServiceProcess(place.settings(AWS_ENDPOINT_URL_SQS=away), tmp_path / "run") as service,
    ):
        service.wait_for("audit_started")


def test_a_missing_leases_table_keeps_only_the_audit_waiting(place: Place, tmp_path: Path) -> None:
    place.send(fresh())
    settings = place.settings(DYNAMODB_EXPORT_LEASES_TABLE="no-such-table")
    with ServiceProcess(settings, tmp_path / "run") as service:
        line = service.wait_for("part_waiting")
        assert (line["level"], line["part"]) == ("error", "audit")
        eventually(lambda: place.item("req-1"))

        def only_the_audit_waits() -> bool:
            found = check(service.health_file)
            return found.problems == () and any("audit" in each for each in found.degraded)

        eventually(only_the_audit_waits)
        assert service.process.poll() is None
        status, _ = service.stop()
    assert status == 0


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_both_pipelines_wait_ends_it_with_exit_0_in_the_budget(
    place: Place, tmp_path: Path, number: signal.Signals
) -> None:
    with ServiceProcess(place.settings(), tmp_path / "run") as service:
        service.wait_for("service_started")
        assert service.health_file.exists()
        service.signal(number)
        assert service.process.wait(DRAIN_SECONDS + 2) == 0
    events = [line["event"] for line in service.lines() if line["event"].startswith("service_")]
    assert events == ["service_starting", "service_started", "service_stopping", "service_stopped"]
    assert (service.lines()[-1]["exit_status"], service.lines()[-1]["drained"]) == (0, True)
    assert service.errors.read_text() == ""
    assert not service.health_file.exists()


def test_a_signal_with_messages_received_strands_none(place: Place, tmp_path: Path) -> None:
    """Each is applied and deleted, or can be received again at once."""
    update = "DynamoDB_20120810.UpdateItem"
    with (
        freezing_proxy(place.aws.endpoint_url, update) as (endpoint, frozen, held, over),
        ServiceProcess(
            place.settings(AWS_ENDPOINT_URL_DYNAMODB=endpoint, EXPORT_RECEIVERS="2"),
            tmp_path / "run",
            *ONLY_TRANSITIONS,
        ) as service,
    ):
        service.wait_for("service_started")
        frozen.set()
        place.send(*[fresh(requestId=f"r{number}") for number in range(150)])
        eventually(held.is_set)
        service.signal()
        over.set()
        assert service.process.wait(DRAIN_SECONDS + 60) == 0
    assert place.count("MessagesNotVisible") == 0
    applied = sum(place.item(f"r{number}") is not None for number in range(150))
    assert applied + place.count("Messages") >= 150


def test_a_signal_while_polling_is_paused_ends_it_at_once(place: Place, tmp_path: Path) -> None:
    place.send(fresh())
    with (
        refusing_proxy(place.aws.endpoint_url, "DynamoDB_20120810.UpdateItem") as endpoint,
        ServiceProcess(
            place.settings(AWS_ENDPOINT_URL=endpoint, EXPORT_RECEIVERS="1", **LONG_POLLS),
            tmp_path / "run",
            *ONLY_TRANSITIONS,
        ) as service,
    ):
        service.wait_for("store_paused")
        status, seconds = service.stop()
    assert (status, service.errors.read_text()) == (0, "")
    assert seconds < AT_ONCE_SECONDS
    assert list(drained_messages(place.aws.client, place.dlq_url)) == []


@pytest.mark.parametrize(
    ("endpoint", "arguments"),
    [
        (refused_endpoint, ()),
        (silent_server, ()),
        (silent_server, ONLY_TRANSITIONS),
        (silent_server, ("--only", "audit")),
    ],
)
def test_a_signal_during_the_start_ends_it_with_exit_0_at_once(
    place: Place,
    tmp_path: Path,
    endpoint: Callable[[], AbstractContextManager[str]],
    arguments: tuple[str, ...],
) -> None:
    with endpoint() as url:
        # The thread that decides on the calls may still write a line behind the last one.
        settings = place.settings(AWS_ENDPOINT_URL=url, EXPORT_FAST_CALLS="off", **LONG_POLLS)
        with ServiceProcess(settings, tmp_path / "run", *arguments) as service:
            service.wait_for("service_starting")
            status, seconds = service.stop()
    assert status == 0, service.errors.read_text()
    assert seconds < AT_ONCE_SECONDS
    assert service.lines()[-1]["event"] == "service_stopped"


def test_a_start_that_reaches_nothing_is_not_healthy(place: Place, tmp_path: Path) -> None:
    with (
        silent_server() as endpoint,
        ServiceProcess(place.settings(AWS_ENDPOINT_URL=endpoint), tmp_path / "run") as service,
    ):
        service.wait_for("service_starting")
        eventually(service.health_file.exists)
        problems = ("AWS has not answered the start of transitions yet",)
        assert check(service.health_file) == Diagnosis(problems)


@pytest.mark.parametrize("after", ["service_started", "service_starting"])
def test_a_second_signal_ends_it_at_once_with_exit_1(place: Place, tmp_path: Path, after: str) -> None:
    with silent_server() as silent:
        changes = LONG_POLLS if after == "service_started" else {**LONG_POLLS, "AWS_ENDPOINT_URL": silent}
        with ServiceProcess(place.settings(**changes), tmp_path / "run", *ONLY_TRANSITIONS) as service:
            service.wait_for(after)
            service.signal(signal.SIGINT)
            status, seconds = service.stop()
    assert status == 1
    assert seconds < AT_ONCE_SECONDS


def test_a_poll_that_hangs_ends_the_drain_at_its_budget_with_exit_1(place: Place, tmp_path: Path) -> None:
    with (
        freezing_proxy(place.aws.endpoint_url, "AmazonSQS.ReceiveMessage") as (endpoint, frozen, held, _),
        ServiceProcess(
            place.settings(AWS_ENDPOINT_URL_SQS=endpoint, EXPORT_RECEIVERS="1"),
            tmp_path / "run",
            *ONLY_TRANSITIONS,
        ) as service,
    ):
        service.wait_for("service_started")
        place.send(fresh())
        eventually(lambda: place.item("req-1"), 60)
        eventually(lambda: place.count() == 0)
        frozen.set()
        place.send(fresh())  # so that a poll that was open is answered now
        eventually(held.is_set)
        status, seconds = service.stop()
    assert status == 1
    assert seconds > DRAIN_SECONDS - 2
    assert service.errors.read_text() == (f"export-status: the drain went over its {DRAIN_SECONDS} seconds\n")
    lines = service.lines()
    assert [line["event"] for line in lines[-2:]] == ["drain_over_budget", "service_stopped"]
    assert (lines[-1]["exit_status"], lines[-1]["drained"]) == (1, False)


# What it prints


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_a_signed_url_put_everywhere_is_found_in_no_line(place: Place, tmp_path: Path, level: str) -> None:
    created = now_text()
    secret_everywhere = {"fileName": SIGNED_URL, "eventId": SIGNED_URL, "requestId": SIGNED_URL}
    bodies = [
        fresh("completed", createdAt=created, signedUrl=SIGNED_URL, **secret_everywhere),
        fresh("completed", createdAt=created, signedUrl=SIGNED_URL, **secret_everywhere),
        fresh("failed", createdAt=created, error=f"PUT {SIGNED_URL} refused", **secret_everywhere),
        fresh("failed", requestId="f", createdAt=created, error=f"PUT {SIGNED_URL} refused"),
        fresh("pending", occurredAt="2001-01-01T00:00:00Z", fileName=SIGNED_URL),
        fresh("failed", signedUrl=SIGNED_URL),
        fresh(SIGNED_URL),
        fresh(occurredAt=SIGNED_URL),
        fresh(**{SIGNED_URL: 1, "requestId": 7}),
        SIGNED_URL,
        f"not JSON {SIGNED_URL}",
        "[" * 200_000 + SIGNED_URL,
        f'{{"Type":"Notification","Message":"{SIGNED_URL}"}}',
    ]
    with ServiceProcess(place.settings(LOG_LEVEL=level), tmp_path / "run") as service:
        eventually(service.health_file.exists, START_LIMIT_SECONDS)
        place.send(*bodies)
        eventually(lambda: place.count() == 0, 60)
        client = place.aws.client("dynamodb")
        for key in (SIGNED_URL, "f"):
            client.delete_item(TableName=place.table, Key={"requestId": {"S": key}})
        eventually(lambda: len(service.lines("audit")) == 2, 60)
    printed = service.output.read_text() + service.errors.read_text()
    assert SECRET not in printed
    assert "X-Amz" not in printed
    entries = {line["requestId"]: line for line in service.lines("audit")}
    assert entries["f"]["error"].startswith(
        "PUT https://bucket.s3.us-east-1.amazonaws.com/exports/report.csv"
    )
    assert len(list(drained_messages(place.aws.client, place.dlq_url))) == 9
    outcomes = [line["outcome"] for line in service.lines("event_outcome")]
    loud = {"expired", "invalid", "conflict"}
    assert set(outcomes) == {
        "DEBUG": {*loud, "applied", "duplicate"}, "INFO": loud, "WARNING": loud, "ERROR": set()
    }[level]  # fmt: skip
