"""The command `publish`: every line or none, in batches."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handlers.timestamps import format_timestamp
from processor.aws.sqs import BatchResult
from processor.cli.sending import send
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.conftest import Command, refusing
from tests.cli.processes import run_in_terminal
from tests.resources import drained_messages, queue_pair

SEND = "AmazonSQS.SendMessageBatch"


def line(request_id: str = "req-1", **more: str) -> bytes:
    now = format_timestamp(datetime.now(UTC))
    fields = {"requestId": request_id, "status": "pending", "occurredAt": now, **more}
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


@pytest.fixture
def fifo(embedded_aws: EmbeddedAws) -> dict[str, str]:
    url, _ = queue_pair(embedded_aws.client, fifo=True)
    return embedded_aws.environment() | {"SQS_EXPORT_EVENTS_QUEUE_URL": url}


def arrived(aws: EmbeddedAws, environment: dict[str, str]) -> list[dict[str, Any]]:
    return list(drained_messages(aws.client, environment["SQS_EXPORT_EVENTS_QUEUE_URL"]))


def test_a_file_is_sent_line_by_line(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    lines = [line(f"req-{number}") for number in range(23)]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    ran = command("publish", "events.jsonl", environment=environment)
    assert (ran.status, ran.out, ran.err) == (0, "published 23 events\n", "")
    bodies = {message["Body"] for message in arrived(embedded_aws, environment)}
    assert bodies == {each.decode().strip() for each in lines}


def test_standard_input_is_read_and_empty_lines_and_a_byte_order_mark_do_no_harm(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command
) -> None:
    stdin = b"\xef\xbb\xbf" + line("ü") + b"\n  \r\n" + line("b").strip()
    ran = command("publish", "-", "--json", environment=environment, stdin=stdin)
    assert (ran.status, json.loads(ran.out), ran.err) == (0, {"dryRun": False, "events": 2, "sent": 2}, "")
    assert len(arrived(embedded_aws, environment)) == 2


def test_closed_standard_input_is_exit_2(environment: dict[str, str], command: Command) -> None:
    ran = command("publish", "-", environment=environment, stdin=None)
    assert (ran.status, ran.err) == (2, "export-status: - must not be closed: it is standard input\n")


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (b"nonsense", "the body must be JSON"),
        (b'"\xff"', "must be UTF-8"),
        (
            line("x", fileName="\uffff"),
            "must not hold control characters, U+FFFE or U+FFFF, which SQS refuses",
        ),
        (line("x", junk="x" * 262_144), "must fit into a message of 256 KiB"),
        (line("x", createdAt="tomorrow"), "createdAt must be an RFC 3339 timestamp with an offset or Z"),
    ],
)
def test_one_bad_line_and_nothing_is_sent(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command, bad: bytes, rule: str
) -> None:
    stdin = b"\n".join([line(), b"", bad, line("c")])
    ran = command("publish", "-", environment=environment, stdin=stdin)
    assert (ran.status, ran.out) == (2, "")
    number = stdin.split(b"\n").index(bad.rstrip(b"\n")) + 1
    assert ran.err.splitlines() == [
        f"export-status: line {number}: {rule}",
        "export-status: 1 bad line, nothing was sent",
    ]
    assert arrived(embedded_aws, environment) == []


def test_of_many_bad_lines_the_first_are_shown(environment: dict[str, str], command: Command) -> None:
    ran = command("publish", "-", environment=environment, stdin=b"x\n" * 12)
    assert len(ran.err.splitlines()) == 11
    assert ran.err.endswith("export-status: 12 bad lines, nothing was sent\n")


@pytest.mark.parametrize(
    ("file", "why"), [("missing.jsonl", "No such file or directory"), (".", "Is a directory")]
)
def test_a_file_that_cannot_be_read_is_exit_2(
    environment: dict[str, str], command: Command, file: str, why: str
) -> None:
    ran = command("publish", file, environment=environment)
    assert (ran.status, ran.err) == (2, f"export-status: {file} cannot be read: {why}\n")


def test_on_fifo_an_export_is_a_group_and_a_line_sent_twice_is_dropped(
    embedded_aws: EmbeddedAws, fifo: dict[str, str], command: Command
) -> None:
    name = "a name that is no group id"
    stdin = line(name, eventId="1") + line(name, eventId="2") + line("other", eventId="1")
    for _ in range(2):
        assert command("publish", "-", environment=fifo, stdin=stdin).status == 0
    messages = arrived(embedded_aws, fifo)
    assert [json.loads(message["Body"])["eventId"] for message in messages] == ["1", "2", "1"]
    groups = [message["Attributes"]["MessageGroupId"] for message in messages]
    assert groups[0] == groups[1] != groups[2]


def test_a_missing_queue_is_one_line_with_the_count(environment: dict[str, str], command: Command) -> None:
    environment["SQS_EXPORT_EVENTS_QUEUE_URL"] += "x"
    ran = command("publish", "-", environment=environment, stdin=line())
    assert (ran.status, ran.out) == (1, "")
    (error,) = ran.err.splitlines()
    assert error.startswith("export-status: the event queue does not exist in this region and account")
    assert error.endswith("; 0 of 1 events were sent")


def test_a_message_that_the_queue_refuses_is_named_and_the_others_are_counted(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command
) -> None:
    embedded_aws.client("sqs").set_queue_attributes(
        QueueUrl=environment["SQS_EXPORT_EVENTS_QUEUE_URL"], Attributes={"MaximumMessageSize": "1024"}
    )
    stdin = line("a") + b"\n" + line("b", fileName="x" * 1_000) + line("c")
    ran = command("publish", "-", environment=environment, stdin=stdin)
    assert ran.status == 1
    (error,) = ran.err.splitlines()
    assert error.startswith("export-status: line 3: the event queue refuses it (")
    assert error.endswith("; 2 of 3 events were sent")
    assert len(arrived(embedded_aws, environment)) == 2


def test_a_throttling_queue_is_waited_for(
    embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command
) -> None:
    with refusing(environment, SEND, code="ThrottlingException", times=3) as settings:
        assert command("publish", "-", environment=settings, stdin=line()).status == 0
    assert len(arrived(embedded_aws, environment)) == 1


def test_a_dry_run_checks_without_aws_or_settings(command: Command) -> None:
    ran = command("publish", "-", "--dry-run", environment={}, stdin=line("a") + line("b"))
    assert (ran.status, ran.out, ran.err) == (0, "checked 2 events, nothing was sent\n", "")
    ran = command("publish", "-", "--dry-run", "--json", environment={}, stdin=line("a"))
    assert json.loads(ran.out) == {"dryRun": True, "events": 1, "sent": 0}
    ran = command("publish", "-", "--dry-run", environment={}, stdin=line("a") + b"nonsense")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("export-status: line 2: ")


def test_a_fifo_queue_wants_created_at_and_a_dry_run_sends_nothing(
    embedded_aws: EmbeddedAws, fifo: dict[str, str], command: Command
) -> None:
    for options in ((), ("--dry-run",)):
        ran = command("publish", "-", *options, environment=fifo, stdin=line(status="processing"))
        assert ran.status == 2
        assert "createdAt is required on a FIFO queue" in ran.err
    ran = command("publish", "-", "--dry-run", environment=fifo, stdin=line("a"))
    assert ran.status == 0
    assert arrived(embedded_aws, fifo) == []


def test_attributes_and_group_are_sent(
    embedded_aws: EmbeddedAws, fifo: dict[str, str], command: Command
) -> None:
    fields = {"event": json.loads(line()), "attributes": {"traceparent": "00-a-b-01"}, "groupId": "tenant-1"}
    ran = command("publish", "-", environment=fifo, stdin=json.dumps(fields).encode())
    assert ran.status == 0
    (message,) = arrived(embedded_aws, fifo)
    assert message["MessageAttributes"]["traceparent"]["StringValue"] == "00-a-b-01"
    assert message["Attributes"]["MessageGroupId"] == "tenant-1"


def test_interrupted_it_reports_how_many_were_sent(
    environment: dict[str, str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_once(*arguments: Any) -> Iterator[tuple[range, BatchResult]]:
        yield next(send(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr("processor.cli.publish.send", send_once)
    stdin = b"".join(line(str(number)) for number in range(11))
    ran = command("publish", "-", "--json", environment=environment, stdin=stdin)
    assert (ran.status, ran.err) == (130, "export-status: interrupted; 10 of 11 events were sent\n")
    assert json.loads(ran.out) == {"dryRun": False, "events": 11, "sent": 10}


def test_a_terminal_shows_a_progress_bar(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"".join(line(str(number)) for number in range(30)))
    status, shown = run_in_terminal(("publish", "events.jsonl"), environment=environment, cwd=tmp_path)
    assert status == 0
    assert "publishing" in shown
    assert "30/30" in shown
    assert "published 30 events" in shown
