"""`dlq list` shows what was rejected and why, and changes no message."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.dlq.dead_letters import SECRET, Queues, event
from tests.cli.processes import start
from tests.resources import drained_messages


def test_it_shows_why_when_and_what_without_the_secrets_of_urls(queues: Queues) -> None:
    body = event(signedUrl=f"https://bucket.s3.amazonaws.com/report.csv?{SECRET}")
    queues.reject(body, "invalid", f"see https://example.org/?{SECRET}")
    ran = queues.run("list")
    assert (ran.status, ran.err) == (0, "")
    head, shown = ran.lines
    assert head == "  5m  invalid    see https://example.org/"
    assert "https://bucket.s3.amazonaws.com/report.csv" in shown
    assert SECRET not in ran.out


def test_json_has_every_field(queues: Queues) -> None:
    message_id = queues.reject("{}", "conflict", "the reason", source="source-1")
    ran = queues.run("list", "--json")
    (record,) = ran.records
    assert 300 <= record.pop("ageSeconds") < 360
    assert record.pop("rejectedAt").endswith("Z")
    assert record == {
        "messageId": message_id,
        "sourceMessageId": "source-1",
        "outcome": "conflict",
        "reason": "the reason",
        "receiveCount": 3,
        "body": "{}",
        "attributes": {},
        "groupId": None,
        "traceHeader": None,
        "traceId": None,
    }


def test_it_leaves_the_messages_as_they_were(queues: Queues) -> None:
    queues.reject_many(25)
    ran = queues.run("list", "--json")
    assert {record["body"] for record in ran.records} == {f"body {number}" for number in range(25)}
    assert queues.waiting(queues.dlq_url) == (25, 0)
    assert queues.waiting(queues.url) == (0, 0)


def test_the_limit_holds_and_the_rest_is_mentioned(queues: Queues) -> None:
    queues.reject_many(14)
    ran = queues.run("list", "--json", "--limit", "12")
    assert len(ran.lines) == 12
    assert ran.err == "12 of about 14 messages seen: --limit shows more\n"
    counts = [
        message["Attributes"]["ApproximateReceiveCount"]
        for message in drained_messages(queues.clients, queues.dlq_url)
    ]
    assert sorted(counts) == ["1"] * 2 + ["2"] * 12


def test_an_empty_queue_is_no_failure(queues: Queues) -> None:
    ran = queues.run("list")
    assert (ran.status, ran.out, ran.err) == (0, "", "the dead-letter queue is empty\n")


def test_a_queue_whose_letters_others_hold_is_not_called_empty(queues: Queues) -> None:
    queues.reject(event("a"), "early")
    queues.reject(event("b"), "early")
    queues.sqs.receive_message(QueueUrl=queues.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=600)
    expected = "other receivers hold about 2 messages, such as another `dlq list`; try again in a moment\n"
    ran = queues.run("list")
    assert (ran.status, ran.out, ran.err) == (0, "", expected)
    ran = queues.run("redrive")
    assert (ran.status, ran.out, ran.err) == (0, "sent back 0 messages\n", expected)


def test_a_body_cannot_play_with_the_terminal_and_is_shortened_for_people_only(queues: Queues) -> None:
    body = "\u009b31mred\u202egnp.exe".ljust(1_234, "x")
    queues.reject(body, "\u009b1m", "a\u0085b")
    ran = queues.run("list")
    assert all(line.isprintable() for line in ran.lines)
    assert ran.lines[1].endswith("xxx… (234 characters more)")
    ran = queues.run("list", "--json")
    assert ran.out.isascii()
    assert ran.records[0]["body"] == body


@pytest.mark.parametrize("count", [None, "many", "²", pytest.param("9" * 5_000, id="long")])
def test_what_sqs_moved_is_unmarked_and_broken_attributes_count_as_missing(
    queues: Queues, count: str | None
) -> None:
    strange: dict[str, dict[str, Any]] = {
        "receiveCount": {"DataType": "String", "StringValue": count},
        "rejectedAt": {"DataType": "String", "StringValue": "yesterday"},
        "rejectionReason": {"DataType": "Binary", "BinaryValue": b"\xff"},
    }
    queues.reject("x", None, attributes=None if count is None else strange)
    (record,) = queues.run("list", "--json").records
    assert (record["outcome"], record["receiveCount"], record["rejectedAt"]) == ("unmarked", None, None)
    assert record["sourceMessageId"] == record["messageId"]
    assert record["ageSeconds"] >= 0


def test_the_redrive_policy_leads_to_the_queue(queues: Queues) -> None:
    queues.reject("here")
    del queues.environment["SQS_EXPORT_EVENTS_DLQ_URL"]
    ran = queues.run("list")
    assert ran.lines[1].strip() == "here"


def test_of_a_fifo_queue_it_reports_that_there_is_more(fifo_queues: Queues) -> None:
    fifo_queues.reject_many(12)
    ran = fifo_queues.run("list", "--json")
    assert [record["body"] for record in ran.records] == [f"body {number}" for number in range(10)]
    assert ran.err.startswith("10 of about 12 messages seen: other receivers hold")
    assert fifo_queues.waiting(fifo_queues.dlq_url) == (12, 0)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, None])
def test_interrupted_or_left_by_its_reader_it_gives_everything_back(
    queues: Queues, tmp_path: Path, ending: signal.Signals | None
) -> None:
    for _ in range(12):
        queues.reject("x" * 20_000)  # more than a pipe holds: it blocks in the middle
    with start("dlq", "list", "--json", environment=queues.environment, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 1)  # what a reader buffers would make room
        assert queues.waiting(queues.dlq_url)[1] > 0
        if ending is None:
            process.stdout.close()
        else:
            process.send_signal(ending)
        assert process.stderr.read() == b""
    assert process.returncode == (130 if ending else 1)
    assert queues.waiting(queues.dlq_url) == (12, 0)
