"""The command `publish`: every line or none, in batches."""

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handlers.timestamps import format_timestamp
from processor.aws.sqs import BatchResult
from processor.cli.sending import send
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.commands import Command, Ran
from tests.cli.conftest import Table, refusing
from tests.cli.processes import run_in_terminal
from tests.resources import queue_pair

SEND = "AmazonSQS.SendMessageBatch"


def line(request_id: str = "req-1", **more: str) -> bytes:
    now = format_timestamp(datetime.now(UTC))
    fields = {"requestId": request_id, "status": "pending", "occurredAt": now, **more}
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


@pytest.fixture
def fifo(embedded_aws: EmbeddedAws, environment: dict[str, str], command: Command) -> Table:
    url, _ = queue_pair(embedded_aws.client, fifo=True)
    return Table(embedded_aws.client, environment | {"SQS_EXPORT_EVENTS_QUEUE_URL": url}, command)


def test_a_file_is_sent_line_by_line(table: Table, tmp_path: Path) -> None:
    lines = [line(f"req-{number}") for number in range(23)]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    assert table.publish(b"", file="events.jsonl") == Ran(0, "published 23 events\n", "")
    assert {message["Body"] for message in table.messages()} == {each.decode().strip() for each in lines}


def test_empty_lines_and_a_byte_order_mark_do_no_harm(table: Table) -> None:
    ran = table.publish(b"\xef\xbb\xbf" + line("ü") + b"\n  \r\n" + line("b").strip(), "--json")
    assert (ran.status, ran.records, ran.err) == (0, [{"dryRun": False, "events": 2, "sent": 2}], "")
    assert len(table.messages()) == 2


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
def test_one_bad_line_and_nothing_is_sent(table: Table, bad: bytes, rule: str) -> None:
    stdin = b"\n".join([line(), b"", bad, line("c")])
    number = stdin.split(b"\n").index(bad.rstrip(b"\n")) + 1
    said = [f"export-status: line {number}: {rule}\n", "export-status: 1 bad line, nothing was sent\n"]
    assert table.publish(stdin) == Ran(2, "", "".join(said))
    assert table.messages() == []


def test_of_many_bad_lines_the_first_are_shown(table: Table) -> None:
    ran = table.publish(b"x\n" * 12)
    assert len(ran.err.splitlines()) == 11
    assert ran.err.endswith("export-status: 12 bad lines, nothing was sent\n")


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("missing.jsonl", "missing.jsonl cannot be read: No such file or directory"),
        (".", ". cannot be read: Is a directory"),
        ("-", "- must not be closed: it is standard input"),
    ],
)
def test_a_file_that_cannot_be_read_is_exit_2(table: Table, file: str, problem: str) -> None:
    assert table.publish(None, file=file) == Ran(2, "", f"export-status: {problem}\n")


def test_on_fifo_an_export_is_a_group_and_a_line_sent_twice_is_dropped(fifo: Table) -> None:
    name = "a name that is no group id"
    stdin = line(name, eventId="1") + line(name, eventId="2") + line("other", eventId="1")
    for _ in range(2):
        assert fifo.publish(stdin).status == 0
    messages = fifo.messages()
    assert [json.loads(message["Body"])["eventId"] for message in messages] == ["1", "2", "1"]
    groups = [message["Attributes"]["MessageGroupId"] for message in messages]
    assert groups[0] == groups[1] != groups[2]


def test_a_missing_queue_is_one_line_with_the_count(table: Table) -> None:
    url = table.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]
    ran = table.publish(line(), SQS_EXPORT_EVENTS_QUEUE_URL=url + "x")
    assert (ran.status, ran.out) == (1, "")
    (error,) = ran.err.splitlines()
    assert error.startswith("export-status: the event queue does not exist in this region and account")
    assert error.endswith("; 0 of 1 events were sent")


def test_a_message_that_the_queue_refuses_is_named_and_the_others_are_counted(table: Table) -> None:
    url = table.environment["SQS_EXPORT_EVENTS_QUEUE_URL"]
    small = {"MaximumMessageSize": "1024"}
    table.clients("sqs").set_queue_attributes(QueueUrl=url, Attributes=small)
    ran = table.publish(line("a") + b"\n" + line("b", fileName="x" * 1_000) + line("c"))
    assert ran.status == 1
    (error,) = ran.err.splitlines()
    assert error.startswith("export-status: line 3: the event queue refuses it (")
    assert error.endswith("; 2 of 3 events were sent")
    assert len(table.messages()) == 2


def test_a_throttling_queue_is_waited_for(table: Table) -> None:
    with refusing(table.environment, SEND, code="ThrottlingException", times=3) as settings:
        assert table.publish(line(), **settings).status == 0
    assert len(table.messages()) == 1


def test_a_dry_run_checks_without_aws_or_settings(command: Command) -> None:
    ran = command("publish", "-", "--dry-run", environment={}, stdin=line("a") + line("b"))
    assert ran == Ran(0, "checked 2 events, nothing was sent\n", "")
    ran = command("publish", "-", "--dry-run", "--json", environment={}, stdin=line("a"))
    assert ran.records == [{"dryRun": True, "events": 1, "sent": 0}]
    ran = command("publish", "-", "--dry-run", environment={}, stdin=line("a") + b"nonsense")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("export-status: line 2: ")


def test_a_fifo_queue_wants_created_at_and_a_dry_run_sends_nothing(fifo: Table) -> None:
    for options in ((), ("--dry-run",)):
        ran = fifo.publish(line(status="processing"), *options)
        assert ran.status == 2
        assert "createdAt is required on a FIFO queue" in ran.err
    assert fifo.publish(line("a"), "--dry-run").status == 0
    assert fifo.messages() == []


def test_attributes_and_group_are_sent(fifo: Table) -> None:
    fields = {"event": json.loads(line()), "attributes": {"traceparent": "00-a-b-01"}, "groupId": "tenant-1"}
    assert fifo.publish(json.dumps(fields).encode()).status == 0
    (message,) = fifo.messages()
    assert message["MessageAttributes"]["traceparent"]["StringValue"] == "00-a-b-01"
    assert message["Attributes"]["MessageGroupId"] == "tenant-1"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_counts_the_sent(table: Table, monkeypatch: pytest.MonkeyPatch, ending: int) -> None:
    def send_once(*arguments: Any) -> Iterator[tuple[range, BatchResult]]:
        yield next(send(*arguments))
        assert callable(signal.getsignal(ending))  # else it would end the tests
        signal.raise_signal(ending)

    monkeypatch.setattr("processor.cli.publish.send", send_once)
    ran = table.publish(b"".join(line(str(number)) for number in range(11)), "--json")
    assert (ran.status, ran.err) == (130, "export-status: interrupted; 10 of 11 events were sent\n")
    assert ran.records == [{"dryRun": False, "events": 11, "sent": 10}]


def test_a_terminal_shows_a_progress_bar(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"".join(line(str(number)) for number in range(30)))
    status, shown = run_in_terminal(("publish", "events.jsonl"), environment=environment, cwd=tmp_path)
    assert status == 0
    assert all(text in shown for text in ("publishing", "30/30", "published 30 events"))
