"""The command `list`: the living exports of a table."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from handlers.export import Status
from tests.cli.conftest import Table, refusing
from tests.cli.processes import run_in_terminal

SECRET = "X-Amz-Signature=c0ffee"
SCAN = "DynamoDB_20120810.Scan"


def ids(lines: list[str]) -> set[str]:
    return {json.loads(line)["requestId"] for line in lines}


def test_a_table_shows_those_first_that_expire_first(table: Table) -> None:
    table.put("late", Status.PROCESSING, age=timedelta(minutes=4), left=timedelta(minutes=11))
    left = timedelta(minutes=3, seconds=30)
    table.put("soon", age=timedelta(minutes=3), left=left, file_name="report.csv")
    ran = table.run("list")
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines == [
        "STATUS      SINCE   LEFT  REQUEST",
        "pending        3m     3m  soon  report.csv",
        "processing     4m    10m  late",
    ]


def test_dead_items_are_left_out(table: Table) -> None:
    table.put("dead", left=timedelta(seconds=-1))
    ran = table.run("list")
    assert (ran.status, ran.out, ran.err) == (0, "", "no such exports\n")


def test_json_gives_attributes_but_never_the_url(table: Table) -> None:
    url = f"https://bucket.s3.amazonaws.com/report.csv?{SECRET}"
    table.put("done", Status.COMPLETED, signed_url=url, file_name=f"see https://example.org/?{SECRET}")
    ran = table.run("list", "--json")
    (fields,) = ran.records
    assert list(fields) == ["requestId", "status", "createdAt", "updatedAt", "ttl", "fileName"]
    assert fields["fileName"] == "see https://example.org/"
    assert "bucket.s3" not in ran.out + table.run("list").out


def test_json_on_a_terminal_is_json_alone(table: Table, tmp_path: Path) -> None:
    table.put("here")
    status, shown = run_in_terminal(("list", "--json"), environment=table.environment, cwd=tmp_path)
    assert (status, ids(shown.splitlines())) == (0, {"here"})


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--status processing --status failed", {"processing", "failed"}),
        ("--older-than 10m", {"processing"}),
    ],
)
def test_only_what_is_asked_for_is_shown(table: Table, options: str, shown: set[str]) -> None:
    for status in Status:
        age = timedelta(minutes=11 if status is Status.PROCESSING else 9)
        table.put(status.value, status, age=age)
    assert ids(table.run("list", "--json", *options.split()).lines) == shown


def test_foreign_items_are_counted_and_do_no_harm(table: Table) -> None:
    table.put("ours")
    table.put_item({"requestId": {"S": "no status"}})
    table.put_item({"requestId": {"S": "odd ttl"}, "ttl": {"S": "soon"}, "status": {"S": "pending"}})
    ran = table.run("list", "--json")
    assert (ran.status, ids(ran.lines)) == (0, {"ours"})
    assert ran.err == "left out 2 items that break the table's contract\n"


def test_every_page_of_the_table_is_read_and_a_throttled_one_is_asked_for_again(table: Table) -> None:
    for number in range(8):
        table.put(f"req-{number}")
        table.put_item({"requestId": {"S": f"big-{number}"}, "junk": {"S": "x" * 300_000}, "ttl": {"N": "1"}})
    assert "LastEvaluatedKey" in table.dynamodb.scan(TableName=table.name)
    with refusing(table.environment, SCAN, code="ThrottlingException", times=2) as settings:
        ran = table.run("list", "--json", **settings)
    assert ids(ran.lines) == {f"req-{number}" for number in range(8)}


def test_no_name_can_play_with_the_terminal(table: Table) -> None:
    table.put("a\x1b[31m", Status.FAILED, error="\x1b]0;title\x07 \u202e")
    ran = table.run("list")
    assert all(line.isprintable() for line in ran.lines)
    assert table.run("list", "--json").out.isascii()


@pytest.mark.parametrize(
    ("older_than", "rule"),
    [
        ("soon", "must be a duration such as 15m, 2h or 1d, or an RFC 3339 timestamp"),
        ("2999-01-01T00:00:00Z", "must not lie in the future"),
        ("999999d", "must be a duration such as 15m, 2h or 1d, or an RFC 3339 timestamp"),
    ],
)
def test_nonsense_is_exit_2(table: Table, older_than: str, rule: str) -> None:
    ran = table.run("list", "--older-than", older_than)
    line = f"export-status: --older-than {rule} (see export-status list --help)\n"
    assert (ran.status, ran.out, ran.err) == (2, "", line)


def test_a_missing_table_is_one_line_and_exit_1(table: Table) -> None:
    reason = "does not exist in this region and account (Scan: ResourceNotFoundException)"
    ran = table.run("list", DYNAMODB_EXPORT_STATUS_TABLE="nowhere")
    assert (ran.status, ran.out, ran.err) == (1, "", f"export-status: the table nowhere {reason}\n")


def test_a_missing_permission_is_one_line_and_exit_1(table: Table) -> None:
    with refusing(table.environment, SCAN) as settings:
        ran = table.run("list", **settings)
    assert ran.status == 1
    assert ran.err == (
        f"export-status: the table {table.name}: AWS refuses, check credentials and permissions"
        " (Scan: AccessDeniedException)\n"
    )
