"""An archive is counted by day and shard, each entry once, whatever else lies in it."""

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from processor.audit.archive import Archive, Shard, files_of
from tests.audit.entries import entry

FIRST, SECOND = date(2026, 11, 22), date(2026, 11, 23)


def line(number: int, deleted_at: str = "2026-11-22T10:15:41.000Z", **changes: Any) -> bytes:
    made = entry(f"id-{number}", f"req-{number}", deleted_at=deleted_at, **changes)
    return made.to_json().encode() + b"\n"


def read(tmp_path: Path, *contents: bytes, since: date | None = None) -> tuple[Archive, list[str]]:
    archive = Archive(since)
    for number, content in enumerate(contents):
        (tmp_path / f"file-{number}").write_bytes(content)
    files = files_of(tmp_path)
    return archive, [f"{path.name}: {problem}" for path in files for problem in archive.read(path)]


def test_an_entry_counts_once_on_the_day_of_its_deletion(tmp_path: Path) -> None:
    lines = [line(number) for number in range(3)] + [line(3, "2026-11-23T00:00:00.000Z")]
    by_hand = line(4, action="export.deleted", deletion_lag_seconds=None, actor=None)
    archive, problems = read(
        tmp_path, b"".join(lines), gzip.compress(lines[0] + lines[3]) + gzip.compress(by_hand)
    )
    found = [(day.day, day.entries, day.expired, day.missing) for day in archive.days({})]
    assert (found, problems) == ([(FIRST, 4, 3, 0), (SECOND, 1, 1, 0)], [])
    (shard,) = archive.shards.values()
    assert (shard.entries, shard.repeats) == (5, 2)


def test_days_before_since_are_left_out_of_entries_and_counts(tmp_path: Path) -> None:
    archive, _ = read(tmp_path, line(0) + line(1, "2026-11-23T00:00:00.000Z"), since=SECOND)
    assert [(day.day, day.entries, day.missing) for day in archive.days({FIRST: 9, SECOND: 1})] == [
        (SECOND, 1, 0)
    ]


@pytest.mark.parametrize(
    ("entries", "deleted", "missing"),
    [
        ((3, 3), (3, 4), [0, 1]),
        ((3, 0), (3, 2), [0, 2]),
        ((4, 2), (3, 3), [0, 0]),  # one deletion at midnight, dated differently
        ((2, 4), (3, 3), [0, 0]),
        ((1, 4), (3, 3), [1, 0]),  # a surplus covers no more than itself
        ((3, 3), (None, 3), [0, 0]),
    ],
)
def test_a_day_lacks_what_dynamodb_counted_and_no_neighbour_has_too_much(
    tmp_path: Path, entries: tuple[int, int], deleted: tuple[int | None, int], missing: list[int]
) -> None:
    first, second = entries
    lines = [line(number) for number in range(first)]
    lines += [line(first + number, "2026-11-23T09:00:00.000Z") for number in range(second)]
    archive, _ = read(tmp_path, b"".join(lines))
    counts = {day: count for day, count in zip((FIRST, SECOND), deleted, strict=True) if count is not None}
    assert [day.missing for day in archive.days(counts)] == missing


def test_of_a_day_without_a_count_what_left_at_midnight_covers_its_neighbour(tmp_path: Path) -> None:
    archive, _ = read(
        tmp_path, line(0), line(1, "2026-11-23T00:00:59.000Z"), line(2, "2026-11-23T00:01:00.000Z")
    )
    assert [day.missing for day in archive.days({FIRST: 3})] == [1, 0]


def test_an_hour_without_an_entry_in_one_shard_is_a_gap() -> None:
    def minutes(*times: str) -> set[int]:
        return {int(datetime.fromisoformat(f"2026-11-22T{each}Z").timestamp() // 60) for each in times}

    assert Shard(minutes=minutes("10:00", "10:59", "11:58")).gaps() == []
    ten, eleven = (datetime(2026, 11, 22, hour, tzinfo=UTC) for hour in (10, 11))
    assert Shard(minutes=minutes("11:00", "10:00", "11:30")).gaps() == [(ten, eleven)]


NONSENSE = {
    "no JSON": b"hello\n",
    "no object": b"[1]\n",
    "no auditId": json.dumps({"deletedAt": "2026-11-22T10:15:41Z"}).encode() + b"\n",
    "a number for an id": line(0).replace(b'"id-0"', b"7"),
    "no such day": line(0).replace(b"2026-11-22T10:15:41.000Z", b"2026-13-22T10:15:41.000Z"),
    "no time zone": line(0).replace(b"T10:15:41.000Z", b"T10:15:41.000"),
    "before all time": line(0).replace(b"2026-11-22T10:15:41.000Z", b"0001-01-01T00:00:00+23:00"),
    "half an entry": line(0)[:100],
    "two entries without a line feed": line(0).strip() + line(1),
    "not UTF-8": b'{"auditId": "\xff"}\n',
    "bottomless": b"[" * 100_000,
}


@pytest.mark.parametrize("content", NONSENSE.values(), ids=NONSENSE)
def test_a_line_that_is_no_entry_is_named_and_the_others_count(tmp_path: Path, content: bytes) -> None:
    archive, problems = read(tmp_path, line(8) + content.removesuffix(b"\n") + b"\n\n" + line(9))
    assert problems == ["file-0: line 2 must be an audit entry"]
    assert [day.entries for day in archive.days({})] == [2]


def test_other_lines_of_the_service_s_log_are_no_problem(tmp_path: Path) -> None:
    audit_line = b'{"event":"audit","timestamp":"2026-11-22T10:15:42.000Z","level":"info",' + line(0)[1:]
    archive, problems = read(tmp_path, b'{"event":"transitions_started","receivers":8}\n' + audit_line)
    assert (problems, [day.entries for day in archive.days({})]) == ([], [1])


def test_torn_and_damaged_gzip_is_named_and_what_came_before_counts(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(line(number) for number in range(2_000)))
    damaged = whole[:-8] + bytes(byte ^ 0xFF for byte in whole[-8:])  # the checksum and the length
    archive, problems = read(tmp_path, whole[: len(whole) // 2], b"\x1f\x8b", damaged)
    damage = "the gzip data is damaged or ends too early"
    assert problems == [f"file-{number}: {damage}" for number in range(3)]
    assert archive.days({})[0].entries > 500
