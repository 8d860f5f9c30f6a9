"""The command `get`: one export, as a reader must see it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.export import Export, Status
from processor.cli import get as get_module
from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.conftest import Command
from tests.cli.processes import run_in_terminal
from tests.resources import status_table
from tests.support.proxy import refusing_proxy

SECRET = "X-Amz-Signature=c0ffee"
URL = f"https://bucket.s3.amazonaws.com/report.csv?{SECRET}"


@pytest.fixture(scope="module")
def environment(embedded_aws: EmbeddedAws) -> dict[str, str]:
    return embedded_aws.environment() | {"DYNAMODB_EXPORT_STATUS_TABLE": status_table(embedded_aws.client)}


@pytest.fixture
def put(embedded_aws: EmbeddedAws, environment: dict[str, str]) -> Callable[[dict[str, Any]], None]:
    def put_item(item: dict[str, Any]) -> None:
        embedded_aws.client("dynamodb").put_item(
            TableName=environment["DYNAMODB_EXPORT_STATUS_TABLE"], Item=item
        )

    return put_item


Put = Callable[[dict[str, Any]], None]


def export(
    request_id: str, status: Status, *, left: timedelta = timedelta(minutes=10), **more: str
) -> Export:
    now = datetime.now(UTC)
    return Export(request_id, status, now, now, ttl=int((now + left).timestamp()), **more)


def test_json_gives_the_attributes_with_had_signed_url_in_place_of_the_url(
    put: Put, environment: dict[str, str], command: Command
) -> None:
    put(export("done", Status.COMPLETED, signed_url=URL, file_name="report.csv").to_item())
    ran = command("get", "done", "--json", environment=environment)
    assert (ran.status, ran.err) == (0, "")
    fields = json.loads(ran.out)
    assert list(fields) == [
        *("requestId", "status", "createdAt", "updatedAt", "ttl", "fileName", "hadSignedUrl")
    ]
    assert fields["hadSignedUrl"] is True
    assert "bucket.s3" not in ran.out


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_url_is_shown_only_when_asked_for(
    put: Put, environment: dict[str, str], command: Command, form: tuple[str, ...]
) -> None:
    put(export("done", Status.COMPLETED, signed_url=URL).to_item())
    assert SECRET not in command("get", "done", *form, environment=environment).out
    assert URL in command("get", "done", "--show-url", *form, environment=environment).out


def test_people_get_a_line_for_each_field_and_the_time_left(
    put: Put, environment: dict[str, str], command: Command
) -> None:
    put(export("failed", Status.FAILED, error=f"cannot put to {URL}").to_item())
    ran = command("get", "failed", environment=environment)
    assert ran.lines[:2] == ["requestId    failed", "status       failed"]
    assert ran.lines[4].endswith("Z, in 9m)")
    assert ran.lines[5] == "error        cannot put to https://bucket.s3.amazonaws.com/report.csv"
    assert ran.lines[6] == "hadSignedUrl no"


@pytest.mark.parametrize("options", [(), ("--watch",), ("--json",)])
def test_an_item_past_its_ttl_counts_as_gone(
    put: Put, environment: dict[str, str], command: Command, options: tuple[str, ...]
) -> None:
    put(export("dead", Status.COMPLETED, left=timedelta(seconds=0)).to_item())
    ran = command("get", "dead", *options, environment=environment)
    assert (ran.status, ran.out, ran.err) == (1, "", "export-status: not found or expired\n")


def test_what_is_not_there_is_exit_1(environment: dict[str, str], command: Command) -> None:
    ran = command("get", "no reader", environment=environment)
    assert (ran.status, ran.out, ran.err) == (1, "", "export-status: not found or expired\n")


def test_an_item_that_is_not_ours_is_one_line(
    put: Put, environment: dict[str, str], command: Command
) -> None:
    put({"requestId": {"S": "foreign"}, "status": {"S": "pending"}})
    ran = command("get", "foreign", environment=environment)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "export-status: the stored item breaks the table's contract:"
        " ttl must be a whole number of Unix seconds\n"
    )


def test_a_ttl_beyond_all_years_is_shown(put: Put, environment: dict[str, str], command: Command) -> None:
    item = export("forever", Status.PENDING).to_item()
    put(item | {"ttl": {"N": "1" + "0" * 30}})
    ran = command("get", "forever", environment=environment)
    assert ran.status == 0
    assert ran.lines[4].endswith("(in >999d)")


@pytest.mark.parametrize("show_url", [(), ("--show-url",)])
def test_no_value_can_play_with_the_terminal(
    put: Put, environment: dict[str, str], command: Command, show_url: tuple[str, ...]
) -> None:
    tricks = "\x1b[2J\u202e\u009b1m"
    put(export("tricky", Status.COMPLETED, signed_url=tricks, file_name=tricks).to_item())
    ran = command("get", "tricky", *show_url, environment=environment)
    assert all(line.isprintable() for line in ran.lines)
    assert command("get", "tricky", "--json", *show_url, environment=environment).out.isascii()


@pytest.mark.parametrize(
    ("request_id", "rule"),
    [
        ("", "must have 1 to 256 characters"),
        ("x" * 257, "must have 1 to 256 characters"),
        ("\udcff", "must be UTF-8"),
    ],
)
def test_an_id_that_no_export_can_have_is_exit_2(
    environment: dict[str, str], command: Command, request_id: str, rule: str
) -> None:
    ran = command("get", request_id, environment=environment)
    assert (ran.status, ran.out, ran.err) == (2, "", f"export-status: REQUEST_ID {rule}\n")


def test_the_longest_id_is_found(put: Put, environment: dict[str, str], command: Command) -> None:
    put(export("ü" * 256, Status.PENDING).to_item())
    assert command("get", "ü" * 256, environment=environment).status == 0


def test_a_throttled_read_is_tried_again(put: Put, environment: dict[str, str], command: Command) -> None:
    put(export("here", Status.PENDING).to_item())
    with refusing_proxy(
        environment["AWS_ENDPOINT_URL"],
        "DynamoDB_20120810.GetItem",
        code="ProvisionedThroughputExceededException",
        times=2,
    ) as endpoint_url:
        ran = command("get", "here", environment=environment | {"AWS_ENDPOINT_URL": endpoint_url})
    assert ran.status == 0


@contextmanager
def changing(monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], None]) -> Iterator[None]:
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
    put: Put, environment: dict[str, str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export("watched", Status.PENDING)
    put(first.to_item())
    steps = [Status.PENDING, Status.PROCESSING, Status.FAILED]
    changes = [lambda step=step: put(export("watched", step).to_item()) for step in steps]
    with changing(monkeypatch, lambda: put(first.to_item()), *changes[1:]):
        ran = command("get", "watched", "--watch", "--json", environment=environment)
    assert ran.status == 0
    assert [json.loads(line)["status"] for line in ran.lines] == ["pending", "processing", "failed"]


def test_a_watch_ends_with_1_when_the_export_expires_unfinished(
    put: Put, environment: dict[str, str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(export("fading", Status.PROCESSING).to_item())
    gone = export("fading", Status.PROCESSING, left=timedelta(seconds=-1)).to_item()
    with changing(monkeypatch, lambda: put(gone)):
        ran = command("get", "fading", "--watch", "--json", environment=environment)
    assert (ran.status, len(ran.lines)) == (1, 1)
    assert ran.err == "export-status: gone: it expired before it was finished\n"


def test_a_watch_on_a_terminal_counts_down_until_the_end(
    put: Put, environment: dict[str, str], tmp_path: Path
) -> None:
    put(export("live", Status.PENDING, left=timedelta(minutes=2)).to_item())

    def finish_when_it_has_counted(shown: str, _: object) -> None:
        if len(set(re.findall(r"in (1\d\d)s", shown))) == 2:
            put(export("live", Status.COMPLETED).to_item())

    status, shown = run_in_terminal(
        ("get", "live", "--watch"),
        environment=environment,
        cwd=tmp_path,
        on_output=finish_when_it_has_counted,
    )
    assert status == 0
    assert "\x1b[32mcompleted" in shown
    assert "Traceback" not in shown
