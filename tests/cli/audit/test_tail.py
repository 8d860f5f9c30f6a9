"""`export-status audit tail` prints each entry once, in order, and reports what it could not read."""

import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.audit import AuditEntry
from processor.audit.kpl import Packer
from processor.audit.sinks.kinesis import KinesisSink
from processor.localaws.embedded_aws import EmbeddedAws
from tests.audit.entries import entry, put_all
from tests.cli.commands import Command, Ran
from tests.cli.processes import run_in_terminal, start
from tests.resources import audit_stream
from tests.waiting import eventually

LIMIT_SECONDS = 300
STYLES = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Stream:
    """An audit stream of the test's own, and the settings that name it."""

    client: Any
    name: str
    environment: dict[str, str]
    command: Command

    def tail(self, *options: str, **settings: str) -> Ran:
        return self.command("audit", "tail", *options, environment=self.environment | settings)

    def put(self, entries: list[AuditEntry], *, target_bytes: int = 4_096) -> None:
        sink = KinesisSink(self.client, self.name, buckets=16, target_bytes=target_bytes)
        assert put_all(sink, entries) == []

    def put_record(self, data: bytes) -> None:
        self.client.put_record(StreamName=self.name, PartitionKey="x", Data=data)


@pytest.fixture
def stream(embedded_aws: EmbeddedAws, command: Command) -> Stream:
    name = audit_stream(embedded_aws.client, shards=1)
    environment = embedded_aws.environment() | {"KINESIS_EXPORT_AUDIT_STREAM": name}
    return Stream(embedded_aws.client("kinesis"), name, environment, command)


def page(first: int, count: int, exports: int = 20) -> list[AuditEntry]:
    return [entry(f"id-{n}", f"req-{n % exports}") for n in range(first, first + count)]


def test_each_entry_is_printed_once_as_it_was_put(stream: Stream) -> None:
    assert stream.tail() == Ran(0, "", "")
    entries = page(0, 300)
    stream.put(entries)
    stream.put(entries[100:250])  # a page that was put again
    ran = stream.tail()
    assert (ran.status, ran.err) == (0, "")
    shown = ran.records
    assert len(shown) == 300
    for export in range(20):
        ids = [each["auditId"] for each in shown if each["requestId"] == f"req-{export}"]
        assert ids == [f"id-{number}" for number in range(export, 300, 20)]
    assert msgspec.json.decode(ran.lines[0], type=AuditEntry) in entries


def test_records_that_are_not_aggregated_and_fields_of_later_versions_are_printed(stream: Stream) -> None:
    later = json.loads(entry("id-1", "req-1").to_json()) | {"schemaVersion": 2, "more": ["ñ"]}
    stream.put_record(json.dumps(later).encode())
    ran = stream.tail()
    assert ran.status == 0
    assert ran.records == [later]


BAD = {
    "damaged": (b"\xf3\x89\x9a\xc2" + b"x" * 40, "MD5"),
    "no JSON": (b"hello", "must be an audit entry"),
    "no object": (b'["auditId"]', "must be an audit entry"),
    "no auditId": (b'{"auditId": 7}', "must be an audit entry"),
    "not a number": (b'{"auditId": "a", "n": NaN}', "must be an audit entry"),
    "bottomless": (b"[" * 100_000, "must be an audit entry"),
    "not UTF-8": (b'{"auditId": "\xff"}', "must be an audit entry"),
}


def test_bad_records_are_named_one_line_each_and_the_rest_is_printed(stream: Stream) -> None:
    stream.put(page(0, 1))
    for data, _ in BAD.values():
        stream.put_record(data)
    mixed = Packer(5, 10_000)
    assert mixed.add("a", b"{}")
    assert mixed.add("b", entry("id-1", "req-1").to_json().encode())
    ((data, _),) = mixed.packed()
    stream.put_record(data)
    ran = stream.tail()
    assert ran.status == 1
    assert [json.loads(line)["auditId"] for line in ran.lines] == ["id-0", "id-1"]
    complaints = ran.err.splitlines()
    assert len(complaints) == len(BAD) + 1
    for complaint, (_, problem) in zip(complaints, BAD.values(), strict=False):
        assert complaint.startswith("audit tail: shardId-000000000000 ")
        assert problem in complaint
    assert "record 1 of 2" in complaints[-1]


def test_since_leaves_out_what_arrived_before(stream: Stream) -> None:
    stream.put(page(0, 5))
    arrived = datetime.now(UTC)
    # --since counts milliseconds.
    between = eventually(
        lambda: (now := datetime.now(UTC)) - arrived >= timedelta(milliseconds=2) and now, every_seconds=0.001
    )
    assert between
    stream.put(page(5, 5))
    ran = stream.tail("--since", between.isoformat())
    assert {json.loads(line)["auditId"] for line in ran.lines} == {f"id-{n}" for n in range(5, 10)}
    assert len(stream.tail("--since", "1h").lines) == 10


def test_a_credential_that_a_foreign_producer_left_is_masked(stream: Stream) -> None:
    data = b'{"auditId": "a", "x": {"https://h/k?sig=SECRET": ["see https://h/f?X-Amz-Signature=SECRET"]}}'
    stream.put_record(data)
    ran = stream.tail()
    assert ran.records == [{"auditId": "a", "x": {"https://h/k": ["see https://h/f"]}}]


@pytest.mark.parametrize(
    ("stream_name", "status", "line"),
    [
        ("", 2, "KINESIS_EXPORT_AUDIT_STREAM must be set"),
        ("gone", 1, "the audit stream gone (KINESIS_EXPORT_AUDIT_STREAM) does not exist"),
    ],
)
def test_without_its_stream_it_ends_with_one_line(
    stream: Stream, stream_name: str, status: int, line: str
) -> None:
    ran = stream.tail(KINESIS_EXPORT_AUDIT_STREAM=stream_name)
    assert (ran.status, ran.out, ran.err.count("\n")) == (status, "", 1)
    assert line in ran.err


def following(stream: Stream) -> "subprocess.Popen[bytes]":
    return start("audit", "tail", "--follow", environment=stream.environment, cwd=Path.cwd())


def test_following_prints_new_entries_and_ends_cleanly_on_ctrl_c(stream: Stream) -> None:
    stream.put(page(0, 1))
    both = {"ShardToMerge": "shardId-000000000001", "AdjacentShardToMerge": "shardId-000000000002"}
    with following(stream) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["auditId"] == "id-0"
        half = {"ShardToSplit": "shardId-000000000000", "NewStartingHashKey": str(2**127)}
        stream.client.split_shard(StreamName=stream.name, **half)
        stream.put(page(1, 15))
        stream.client.merge_shards(StreamName=stream.name, **both)
        stream.put(page(16, 15))
        later = {json.loads(process.stdout.readline())["auditId"] for _ in range(30)}
        assert later == {f"id-{n}" for n in range(1, 31)}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_following_ends_on_ctrl_c_although_its_reader_stands_still(stream: Stream) -> None:
    stream.put(page(0, 400))  # more than a pipe holds
    with following(stream) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 1)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
    assert process.returncode == 0


def on_a_terminal(stream: Stream, *options: str, **settings: str) -> list[str]:
    """The lines that a terminal gets."""
    arguments, environment = ("audit", "tail", *options), stream.environment | settings
    status, shown = run_in_terminal(arguments, environment=environment, cwd=Path.cwd())
    assert status == 0, shown
    return shown.splitlines()


def test_a_terminal_gets_a_table_that_fits_its_width(stream: Stream) -> None:
    entries = [
        entry("id-1", "req-1"),
        entry("id-2", "req-2", last_status="processing", finished=False, deletion_lag_seconds=172_800),
        entry("id-3", "req-3\x1b[2J", action="export.deleted", deletion_lag_seconds=None, error="x" * 200),
    ]
    for one in entries:
        stream.put([one])
    coloured = on_a_terminal(stream)
    lines = [STYLES.sub("", line) for line in coloured]
    assert [line.rstrip() for line in lines[:3]] == [
        "DELETED (UTC)        ACTION   LAST STATUS    LAG  REQUEST",
        "2026-11-22 10:15:41  expired  completed      41s  req-1  report.csv",
        "2026-11-22 10:15:41  expired  processing      2d  req-2  unfinished  report.csv",
    ]
    assert lines[3].startswith("2026-11-22 10:15:41  deleted  completed        -  req-3\ufffd[2J  xxx")
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b[1;31m" in coloured[2]
    assert not any("\x1b[1;31m" in line for line in on_a_terminal(stream, NO_COLOR="1"))


def test_json_can_be_asked_for_on_a_terminal(stream: Stream) -> None:
    stream.put(page(0, 1))
    (line,) = on_a_terminal(stream, "--json", COLUMNS="20")
    assert json.loads(line)["auditId"] == "id-0"
