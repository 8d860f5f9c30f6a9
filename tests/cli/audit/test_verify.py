"""`audit verify` exits with 1 and names the day when the archive lacks an entry."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.audit.test_archive import line
from tests.cli.commands import Command

DAYS = ("2026-10-20", "2026-10-21")
COUNTS = "2026-10-20 50\n2026-10-21, 30\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two days of entries in folders by day of arrival, the second day's file repeats some of the first."""
    folder = tmp_path / "archive"
    first = [line(number, f"{DAYS[0]}T10:{number:02}:00.000Z") for number in range(50)]
    second = [line(50 + number, f"{DAYS[1]}T10:{number:02}:00.000Z") for number in range(30)]
    for day, lines in zip(DAYS, (first, first[:5] + second), strict=True):
        (folder / day).mkdir(parents=True)
        (folder / day / "entries.gz").write_bytes(gzip.compress(b"".join(lines)))
    (tmp_path / "counts").write_text(COUNTS)
    return folder


def test_an_archive_that_has_everything_is_fine(archive: Path, command: Command) -> None:
    ran = command("audit", "verify", str(archive), "--deleted", "counts", environment={})
    assert (ran.status, ran.err) == (0, "")
    header, first, second, *shards = ran.lines
    assert header.split()[0] == "DAY"
    assert first.split() == [DAYS[0], "50", "50", "50", "0"]
    assert second.split() == [DAYS[1], "30", "30", "30", "0"]
    assert shards[0].endswith(": 5 repeats of 80 entries")
    assert shards[1].endswith("no entry between 2026-10-20T10:49:00.000Z and 2026-10-21T10:00:00.000Z")


def test_one_entry_taken_out_is_missing_on_its_day(archive: Path, command: Command) -> None:
    file = archive / DAYS[1] / "entries.gz"
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(lines[:20] + lines[21:])))
    ran = command("audit", "verify", str(archive), "--deleted", "counts", environment={})
    assert (ran.status, ran.err) == (1, f"audit verify: 1 entries are missing: 1 on {DAYS[1]}\n")
    assert ran.lines[2].split() == [DAYS[1], "29", "29", "30", "1"]
    assert ran.lines[3].endswith(": 5 repeats of 79 entries")
    since = command(
        "audit", "verify", str(archive), "--since", DAYS[1], "--deleted", "counts", environment={}
    )
    assert (since.status, len(since.lines)) == (1, 2)


def test_a_day_without_entries_is_missing_and_one_that_is_not_over_is_not_compared(
    tmp_path: Path, command: Command
) -> None:
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"  # not over, also if midnight passes
    (tmp_path / "counts").write_text(f"2026-10-20 7\n2026-10-20 7\n{tomorrow} 500\n")
    (tmp_path / "entries").write_bytes(line(0, f"{tomorrow}T00:00:00.000Z"))
    ran = command("audit", "verify", "entries", "--deleted", "counts", environment={})
    assert (ran.status, ran.err) == (1, "audit verify: 14 entries are missing: 14 on 2026-10-20\n")
    assert ran.lines[2].split() == [tomorrow, "1", "1", "?", "0"]


def test_without_a_file_cloudwatch_is_asked(
    embedded_aws: EmbeddedAws, tmp_path: Path, command: Command
) -> None:
    client: Any = embedded_aws.client("cloudwatch")
    yesterday = datetime.now(UTC).replace(hour=10, minute=30) - timedelta(days=1)
    table = "export-status-of-verify"
    for value in (2, 1):
        point = {
            "MetricName": "TimeToLiveDeletedItemCount",
            "Dimensions": [{"Name": "TableName", "Value": table}],
            "Value": value,
            "Timestamp": yesterday - timedelta(hours=value),
        }
        client.put_metric_data(Namespace="AWS/DynamoDB", MetricData=[point])
    (tmp_path / "entries").write_bytes(line(0, f"{yesterday:%Y-%m-%d}T10:00:00.000Z"))
    environment = embedded_aws.environment() | {"DYNAMODB_EXPORT_STATUS_TABLE": table}
    ran = command("audit", "verify", "entries", environment=environment)
    assert (ran.status, ran.err) == (1, f"audit verify: 2 entries are missing: 2 on {yesterday:%Y-%m-%d}\n")


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("--since", "yesterday", "must be a day such as 2026-11-22"),
        *(
            ("--deleted", file, "must name a file of lines such as `2026-11-22 1234`")
            for file in ("nowhere", "bad", "binary")
        ),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, command: Command, option: str, value: str, rule: str
) -> None:
    (tmp_path / "counts").write_text(COUNTS)
    (tmp_path / "bad").write_text("2026-10-20 1\n\n2026-10-21 2\n")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    ran = command("audit", "verify", "counts", option, value, environment={})
    assert (ran.status, ran.out, ran.err) == (2, "", f"export-status: {option} {rule}\n")


def test_nonsense_is_named_by_file_and_line_and_exits_with_1(tmp_path: Path, command: Command) -> None:
    (tmp_path / "bad\x1bname").write_bytes(
        line(0, f"{DAYS[0]}T10:00:00.000Z") + b'{"url": "https://secret?key"}'
    )
    (tmp_path / "one").write_text(f"{DAYS[0]} 1")
    ran = command("audit", "verify", "bad\x1bname", "nowhere", "--deleted", "one", environment={})
    assert ran.status == 1
    assert ran.err.splitlines() == [
        "audit verify: bad\N{REPLACEMENT CHARACTER}name: line 2 must be an audit entry",
        "audit verify: nowhere: No such file or directory",
    ]
