"""The command `get`: one export, as a reader must see it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.export import Export, Status
from processor.cli import get as get_module
from tests.cli.conftest import Command, Table, refusing
from tests.cli.processes import run_in_terminal

SECRET = "X-Amz-Signature=c0ffee"
URL = f"https://bucket.s3.amazonaws.com/report.csv?{SECRET}"
GONE = (1, "", "export-status: not found or expired\n")


def test_json_gives_the_attributes_with_had_signed_url_in_place_of_the_url(
    table: Table, command: Command
) -> None:
    table.put("done", Status.COMPLETED, signed_url=URL, file_name="report.csv")
    ran = command("get", "done", "--json", environment=table.environment)
    assert (ran.status, ran.err) == (0, "")
    fields = json.loads(ran.out)
    names = ["requestId", "status", "createdAt", "updatedAt", "ttl", "fileName", "hadSignedUrl"]
    assert list(fields) == names
    assert fields["hadSignedUrl"] is True


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_url_is_shown_only_when_asked_for(table: Table, command: Command, form: tuple[str, ...]) -> None:
    table.put("done", Status.COMPLETED, signed_url=URL)
    assert "bucket.s3" not in command("get", "done", *form, environment=table.environment).out
    assert URL in command("get", "done", "--show-url", *form, environment=table.environment).out


def test_people_get_a_line_for_each_field_and_the_time_left(table: Table, command: Command) -> None:
    table.put("failed", Status.FAILED, error=f"cannot put to {URL}")
    ran = command("get", "failed", environment=table.environment)
    assert ran.lines[:2] == ["requestId    failed", "status       failed"]
    assert ran.lines[4].endswith("Z, in 9m)")
    assert ran.lines[5] == "error        cannot put to https://bucket.s3.amazonaws.com/report.csv"
    assert ran.lines[6] == "hadSignedUrl no"


@pytest.mark.parametrize("options", [(), ("--watch",), ("--json",)])
def test_an_item_past_its_ttl_counts_as_gone(
    table: Table, command: Command, options: tuple[str, ...]
) -> None:
    table.put("dead", Status.COMPLETED, left=timedelta(seconds=0))
    for request_id in ("dead", "never requested"):
        ran = command("get", request_id, *options, environment=table.environment)
        assert (ran.status, ran.out, ran.err) == GONE


def test_an_item_that_is_not_ours_is_one_line(table: Table, command: Command) -> None:
    table.put_item({"requestId": {"S": "foreign"}, "status": {"S": "pending"}})
    ran = command("get", "foreign", environment=table.environment)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "export-status: the stored item breaks the table's contract:"
        " ttl must be a whole number of Unix seconds\n"
    )


def test_the_longest_id_and_a_ttl_beyond_all_years_are_shown(table: Table, command: Command) -> None:
    item = table.put("ü" * 256)
    table.put_item(item | {"ttl": {"N": "1" + "0" * 30}})
    ran = command("get", "ü" * 256, environment=table.environment)
    assert ran.status == 0
    assert ran.lines[4].endswith("(in >999d)")


@pytest.mark.parametrize("show_url", [(), ("--show-url",)])
def test_no_value_can_play_with_the_terminal(
    table: Table, command: Command, show_url: tuple[str, ...]
) -> None:
    tricks = "\x1b[2J\u202e\u009b1m"
    table.put("tricky", Status.COMPLETED, signed_url=tricks, file_name=tricks)
    ran = command("get", "tricky", *show_url, environment=table.environment)
    assert all(line.isprintable() for line in ran.lines)
    assert command("get", "tricky", "--json", *show_url, environment=table.environment).out.isascii()


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


def test_a_throttled_read_is_tried_again(table: Table, command: Command) -> None:
    table.put("here", Status.PENDING)
    code = "ProvisionedThroughputExceededException"
    with refusing(table.environment, "DynamoDB_20120810.GetItem", code=code, times=2) as settings:
        assert command("get", "here", environment=settings).status == 0


@contextmanager
def changing(monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], object]) -> Iterator[None]:
    """Makes one change each time that a watch has looked."""
    read, left = get_module.read_export, list(changes)

    def read_then_change(*arguments: Any) -> Export | None:
        found = read(*arguments)
        if left:
            left.pop(0)()
        return found

    monkeypatch.setattr(get_module, "read_export", read_then_change)
    yield
    assert not left


def test_a_watch_shows_each_change_and_ends_with_the_export(
    table: Table, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = table.put("watched")
    changes = [lambda step=step: table.put("watched", step) for step in (Status.PROCESSING, Status.FAILED)]
    with changing(monkeypatch, lambda: table.put_item(first), *changes):
        ran = command("get", "watched", "--watch", "--json", environment=table.environment)
    assert ran.status == 0
    assert [json.loads(line)["status"] for line in ran.lines] == ["pending", "processing", "failed"]


def test_a_watch_ends_with_1_when_the_export_expires_unfinished(
    table: Table, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.put("fading", Status.PROCESSING)
    left = timedelta(seconds=-1)
    with changing(monkeypatch, lambda: table.put("fading", Status.PROCESSING, left=left)):
        ran = command("get", "fading", "--watch", "--json", environment=table.environment)
    assert (ran.status, len(ran.lines)) == (1, 1)
    assert ran.err == "export-status: gone: it expired before it was finished\n"


def test_a_watch_on_a_terminal_counts_down_until_the_end(table: Table, tmp_path: Path) -> None:
    table.put("live", Status.PENDING, left=timedelta(minutes=2))

    def finish_when_it_has_counted(shown: str, _: object) -> None:
        if len(set(re.findall(r"in (1\d\d)s", shown))) == 2:
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
