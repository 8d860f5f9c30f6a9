"""`dlq save` writes letters to a file that `publish` reads, and leaves them in the queue."""

import json
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.save import SavedFile
from tests.cli.dlq.dead_letters import SECRET, Queues, event

FILE = "letters.jsonl"


def test_saved_letters_can_be_published_again(queues: Queues) -> None:
    body = (
        '{"note": 1.50, '
        + event("req-ü", status="completed", signedUrl=f"https://b.s3.amazonaws.com/r?{SECRET}")[1:]
    )
    attributes: dict[str, dict[str, Any]] = {
        "traceparent": {"DataType": "String", "StringValue": "00-a-b-01"},
        "count": {"DataType": "Number", "StringValue": "7"},
        "blob": {"DataType": "Binary.png", "BinaryValue": b"\xff\x00"},
    }
    queues.reject(body, "early", attributes=attributes)
    ran = queues.run("save", FILE)
    assert (ran.status, ran.out, ran.err) == (0, f"saved 1 message to {FILE}\n", "")
    assert queues.waiting(queues.dlq_url) == (1, 0)
    ran = queues.command("publish", FILE, environment=queues.environment)
    assert (ran.status, ran.out) == (0, "published 1 event\n")
    (message,) = queues.sent_back()
    assert message["Body"] == body
    assert message["MessageAttributes"] == attributes


def test_a_line_notes_why_and_when_and_the_file_is_for_its_owner(queues: Queues) -> None:
    message_id = queues.reject("no JSON", "invalid", "the reason", source="source-1")
    queues.run("save", FILE)
    assert stat.S_IMODE(Path(FILE).stat().st_mode) == 0o600
    (saved,) = [json.loads(line) for line in Path(FILE).read_text().splitlines()]
    letter = saved.pop("letter")
    assert saved == {"body": "no JSON"}
    assert letter["messageId"] == message_id
    assert (letter["outcome"], letter["reason"], letter["receiveCount"]) == ("invalid", "the reason", 3)


def test_only_the_outcomes_asked_for_are_saved(queues: Queues) -> None:
    for outcome in ("invalid", "early", "audit_quarantined"):
        queues.reject("{}", outcome)
    ran = queues.run("save", FILE, "--outcome", "early", "--outcome", "audit_quarantined", "--json")
    assert (ran.status, ran.records) == (0, [{"saved": 2}])
    assert len(Path(FILE).read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("precious", "precious exists already; name another file"),
        ("no/such/folder", "no/such/folder cannot be written: No such file or directory"),
        ("-", "FILE must be a file, because bodies hold signed URLs"),
    ],
)
def test_only_a_new_file_is_written(queues: Queues, file: str, line: str) -> None:
    queues.reject("{}")
    Path("precious").write_text("from last night")
    ran = queues.run("save", file)
    assert (ran.status, ran.out, ran.err) == (2, "", f"export-status: {line}\n")
    assert [path.read_text() for path in Path().iterdir()] == ["from last night"]


def test_an_empty_queue_leaves_no_file(queues: Queues) -> None:
    ran = queues.run("save", FILE)
    assert (ran.status, ran.out) == (0, f"saved 0 messages to {FILE}\n")
    assert not Path(FILE).exists()


def test_letters_out_of_reach_are_exit_1(fifo_queues: Queues) -> None:
    fifo_queues.reject_many(12)
    ran = fifo_queues.run("save", FILE)
    assert (ran.status, ran.out) == (1, f"saved 10 messages to {FILE}\n")
    assert ran.err.startswith("10 of about 12 messages seen: ")


def test_interrupted_it_gives_everything_back_and_keeps_what_is_saved(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.reject_many(25)
    save, pages = SavedFile.save, iter(range(2))

    def save_two_pages(saved: SavedFile, letters: list[DeadLetter], now: datetime) -> None:
        if next(pages, None) is None:
            raise KeyboardInterrupt
        save(saved, letters, now)

    monkeypatch.setattr(SavedFile, "save", save_two_pages)
    ran = queues.run("save", FILE)
    lines = Path(FILE).read_text().splitlines()
    assert (ran.status, ran.out) == (130, f"saved {len(lines)} messages to {FILE}\n")
    assert {json.loads(line)["letter"]["outcome"] for line in lines} == {"early"}
    assert queues.waiting(queues.dlq_url) == (25, 0)
