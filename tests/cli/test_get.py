"""The command `get`: one export, as a reader must see it."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.export import Status
from tests.cli.commands import Command, Ran
from tests.cli.conftest import Table, refusing
from tests.cli.processes import run_in_terminal, start

SECRET = "X-Amz-Signature=c0ffee"
URL = f"https://bucket.s3.amazonaws.com/report.csv?{SECRET}"
GONE = Ran(1, "", "export-status: not found or expired\n")


def test_json_gives_the_attributes_with_had_signed_url_in_place_of_the_url(table: Table) -> None:
    table.put("done", Status.COMPLETED, signed_url=URL, file_name="report.csv")
    ran = table.run("get", "done", "--json")
    assert (ran.status, ran.err) == (0, "")
    names = ["requestId", "status", "createdAt", "updatedAt", "ttl", "fileName", "hadSignedUrl"]
    (fields,) = ran.records
    assert list(fields) == names
    assert fields["hadSignedUrl"] is True


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_url_is_shown_only_when_asked_for(table: Table, form: tuple[str, ...]) -> None:
    table.put("done", Status.COMPLETED, signed_url=URL)
    assert "bucket.s3" not in table.run("get", "done", *form).out
    assert URL in table.run("get", "done", "--show-url", *form).out


def test_people_get_a_line_for_each_field_and_the_time_left(table: Table) -> None:
    table.put("failed", Status.FAILED, error=f"cannot put to {URL}")
    ran = table.run("get", "failed")
    assert ran.lines[:2] == ["requestId    failed", "status       failed"]
    assert ran.lines[4].endswith("Z, in 9m)")
    assert ran.lines[5] == "error        cannot put to https://bucket.s3.amazonaws.com/report.csv"
    assert ran.lines[6] == "hadSignedUrl no"


@pytest.mark.parametrize("options", [(), ("--watch",), ("--json",)])
def test_an_item_past_its_ttl_counts_as_gone(table: Table, options: tuple[str, ...]) -> None:
    table.put("dead", Status.COMPLETED, left=timedelta(seconds=0))
    for request_id in ("dead", "never requested"):
        assert table.run("get", request_id, *options) == GONE


def test_an_item_that_is_not_ours_is_one_line(table: Table) -> None:
    table.put_item({"requestId": {"S": "foreign"}, "status": {"S": "pending"}})
    ran = table.run("get", "foreign")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "export-status: the stored item breaks the table's contract:"
        " ttl must be a whole number of Unix seconds\n"
    )


def test_the_longest_id_and_a_ttl_beyond_all_years_are_shown(table: Table) -> None:
    item = table.put("ü" * 256)
    table.put_item(item | {"ttl": {"N": "1" + "0" * 30}})
    ran = table.run("get", "ü" * 256)
    assert ran.status == 0
    assert ran.lines[4].endswith("(in >999d)")


@pytest.mark.parametrize("show_url", [(), ("--show-url",)])
def test_no_value_can_play_with_the_terminal(table: Table, show_url: tuple[str, ...]) -> None:
    tricks = "\x1b[2J\u202e\u009b1m"
    table.put("tricky", Status.COMPLETED, signed_url=tricks, file_name=tricks)
    ran = table.run("get", "tricky", *show_url)
    assert all(line.isprintable() for line in ran.lines)
    assert table.run("get", "tricky", "--json", *show_url).out.isascii()


@pytest.mark.parametrize(
    ("request_id", "rule"),
    [
        ("", "must have 1 to 256 characters"),
        ("x" * 257, "must have 1 to 256 characters"),
        ("\udcff", "must be UTF-8"),
    ],
)
def test_an_id_that_no_export_can_have_is_exit_2(command: Command, request_id: str, rule: str) -> None:
    for name in ("get", "why"):
        ran = command(name, request_id, environment={})
        line = f"export-status: REQUEST_ID {rule} (see export-status {name} --help)\n"
        assert (ran.status, ran.out, ran.err) == (2, "", line)


def test_a_throttled_read_is_tried_again(table: Table) -> None:
    table.put("here", Status.PENDING)
    code = "ProvisionedThroughputExceededException"
    with refusing(table.environment, "DynamoDB_20120810.GetItem", code=code, times=2) as settings:
        assert table.run("get", "here", **settings).status == 0


@pytest.mark.parametrize(
    ("last", "left", "end"),
    [
        (Status.FAILED, 600, (0, b"")),
        (Status.PROCESSING, -1, (1, b"export-status: gone: it expired before it was finished\n")),
    ],
)
def test_a_watch_shows_each_change_and_ends_with_the_export(
    table: Table, tmp_path: Path, last: Status, left: int, end: tuple[int, bytes]
) -> None:
    table.put("one")
    with start("get", "one", "--watch", "--json", environment=table.environment, cwd=tmp_path) as process:
        assert process.stdout is not None
        shown = [json.loads(process.stdout.readline())["status"]]
        table.put("one", Status.PROCESSING)
        shown.append(json.loads(process.stdout.readline())["status"])
        table.put("one", last, left=timedelta(seconds=left))
        out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == end
    shown += [json.loads(line)["status"] for line in out.splitlines()]
    assert shown == ["pending", "processing", *([] if left < 0 else ["failed"])]


def test_a_watch_on_a_terminal_counts_down_until_the_end(table: Table, tmp_path: Path) -> None:
    counting: list[str] = []
    table.put("live", Status.PENDING, left=timedelta(hours=1))

    def finish_when_it_has_counted(shown: str, _: object) -> None:
        if "in 59m" in shown and not counting:
            counting.append("it has started")
            table.put("live", Status.PENDING, left=timedelta(seconds=119))
        if len(set(re.findall(r"in (1\d\d)s", shown))) >= 2:
            table.put("live", Status.COMPLETED)

    status, shown = run_in_terminal(
        ("get", "live", "--watch"),
        environment=table.environment,
        cwd=tmp_path,
        on_output=finish_when_it_has_counted,
    )
    assert status == 0
    assert "\x1b[32mcompleted" in shown
    assert "Traceback" not in shown
