"""`dlq drop` removes the letters that were asked for, saved first where a file is named."""

import json
from pathlib import Path

import pytest

from processor.startup_checks import ANOTHER_QUEUE
from tests.cli.conftest import refusing
from tests.cli.dlq.dead_letters import EXPIRED, Queues, event

FILE = "dropped.jsonl"


def test_from_300_letters_of_three_outcomes_to_an_empty_queue_in_three_commands(queues: Queues) -> None:
    for number in range(100):
        queues.reject(event(f"early-{number}"), "early")
        queues.reject(event(f"conflict-{number}", status="failed"), "conflict")
        queues.reject(json.dumps({"requestId": f"invalid-{number}"}), "invalid")
    assert queues.run("save", "all.jsonl").status == 0
    ran = queues.run("drop", "--outcome", "invalid", "--outcome", "conflict", "--save", FILE)
    assert (ran.status, ran.lines[0], ran.err) == (0, "dropped 200 messages, saved 200 messages", "")
    ran = queues.run("redrive")
    assert (ran.status, ran.out) == (0, "sent back 100 messages\n")
    assert queues.waiting(queues.dlq_url) == (0, 0)
    assert len(Path("all.jsonl").read_text().splitlines()) == 300
    lines = [json.loads(line) for line in Path(FILE).read_text().splitlines()]
    again = [json.dumps(each) for each in lines if each["letter"]["outcome"] == "conflict"]
    assert len(queues.sent_back()) == 100
    stdin = "\n".join(again).encode()
    ran = queues.command("publish", "-", environment=queues.environment, stdin=stdin)
    assert (ran.status, ran.out) == (0, "published 100 events\n")


def test_only_the_letters_of_an_outcome_go(queues: Queues) -> None:
    queues.reject("a", "invalid")
    queues.reject("b", None)
    queues.reject("c", "audit_quarantined")
    ran = queues.run("drop", "--outcome", "audit_quarantined")
    assert (ran.status, ran.lines) == (0, ["dropped 1 message", "  2 stay, not asked for"])
    assert sorted(queues.left()) == ["a", "b"]


def test_the_id_of_list_selects_one_letter(queues: Queues) -> None:
    queues.reject_many(12)
    listed = queues.run("list", "--json").records
    (wanted,) = [each["messageId"] for each in listed if each["body"] == "body 7"]
    ran = queues.run("drop", "--id", wanted, "--json")
    assert (ran.status, ran.err) == (0, "")
    counts = {"dropped": 1, "notRemoved": 0, "notAskedFor": 11, "saved": 0}
    assert ran.records == [{"dryRun": False, **counts}]
    assert "body 7" not in queues.left()


def test_an_id_that_no_letter_has_is_exit_1(queues: Queues) -> None:
    wanted = queues.reject("a")
    ran = queues.run("drop", "--id", "nonsense\x1b[2J", "--id", wanted)
    assert (ran.status, ran.lines) == (1, ["dropped 1 message"])
    assert ran.err == "no letter has the id nonsense\N{REPLACEMENT CHARACTER}[2J\n"


@pytest.mark.parametrize("arguments", [(), ("--save", FILE), ("--all", "--outcome", "early")])
def test_all_letters_go_only_if_that_is_asked_for(queues: Queues, arguments: tuple[str, ...]) -> None:
    queues.reject("a")
    ran = queues.run("drop", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == "export-status: dlq drop needs either --outcome, --id or both, or --all\n"
    assert not Path(FILE).exists()
    ran = queues.run("drop", "--all", SQS_EXPORT_EVENTS_QUEUE_URL=queues.dlq_url)
    assert ran.err == f"export-status: {ANOTHER_QUEUE}\n"
    assert queues.run("drop", "--all", "--save", "no/folder").status == 2
    ran = queues.run("drop", "--all")
    assert (ran.status, ran.lines) == (0, ["dropped 1 message"])
    assert queues.waiting(queues.dlq_url) == (0, 0)


def test_a_dry_run_changes_nothing(queues: Queues) -> None:
    queues.reject("a")
    ran = queues.run("drop", "--all", "--dry-run", "--save", FILE)
    assert (ran.status, ran.lines) == (0, ["would drop 1 message"])
    assert not Path(FILE).exists()
    assert queues.waiting(queues.dlq_url) == (1, 0)


def test_what_cannot_be_removed_is_exit_1_and_is_saved(queues: Queues) -> None:
    queues.reject(event(), "conflict")
    with refusing(queues.environment, "AmazonSQS.DeleteMessageBatch") as settings:
        ran = queues.run("drop", "--all", "--save", FILE, **settings)
    assert ran.status == 1
    assert ran.lines == ["dropped 0 messages, saved 1 message", "  1 are still here: run this again"]
    assert queues.waiting(queues.dlq_url) == (1, 0)


def test_it_reaches_more_than_ten_letters_of_a_fifo_group(fifo_queues: Queues) -> None:
    for number in range(12):
        fifo_queues.reject(event(f"req-{number}", age=EXPIRED), "conflict", group="one")
    ran = fifo_queues.run("drop", "--all", "--save", FILE)
    assert (ran.status, ran.lines) == (0, ["dropped 12 messages, saved 12 messages"])
    groups = {json.loads(line)["groupId"] for line in Path(FILE).read_text().splitlines()}
    assert groups == {"one"}
