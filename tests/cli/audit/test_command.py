"""What the commands `audit tail` and `audit replay` say while they wait, and how they end."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.conftest import Table
from tests.cli.processes import run_in_terminal, start

REPLAY = ("audit", "replay", "--since", "1h")
NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


@pytest.fixture
def left(table: Table) -> Table:
    """A table that three exports have left."""
    for number in range(3):
        item = table.put(f"req-{number}")
        table.dynamodb.delete_item(TableName=table.name, Key={"requestId": item["requestId"]})
    return table


def test_a_reader_that_leaves_ends_a_replay_at_once_without_a_word(left: Table, tmp_path: Path) -> None:
    with start(*REPLAY, environment=left.environment, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_replay_s_json_is_its_last_line(left: Table) -> None:
    ran = left.run(*REPLAY, "--json")
    *entries, counts = ran.records
    assert (ran.status, ran.err) == (0, "")
    assert {entry["requestId"] for entry in entries} == {"req-0", "req-1", "req-2"}
    assert counts == {"dryRun": False, "put": 3, "refused": 0, "trimmed": False}
    counted = left.run(*REPLAY, "--json", "--dry-run")
    assert json.loads(counted.out) == {"dryRun": True, "put": 3, "refused": 0, "trimmed": False}


def test_on_a_terminal_no_bar_comes_between_the_entries(left: Table, tmp_path: Path) -> None:
    status, shown = run_in_terminal(REPLAY, environment=left.environment, cwd=tmp_path)
    *entries, last = shown.splitlines()
    assert status == 0
    assert {json.loads(line)["requestId"] for line in entries} == {"req-0", "req-1", "req-2"}
    assert last == "3 entries were put again, 0 of them refused by a sink"


@pytest.mark.parametrize(
    ("arguments", "call", "last"),
    [
        (("audit", "tail"), "ListShards", ""),
        (REPLAY, "ListStreams", "export-status: interrupted; at least 0 entries were put\n"),
        ((*REPLAY, "--dry-run"), "ListStreams", "export-status: interrupted; 0 entries were counted\n"),
    ],
    ids=["tail", "replay", "replay --dry-run"],
)
def test_an_aws_that_does_not_answer_is_reported_once_and_ctrl_c_ends_the_wait(
    embedded_aws: EmbeddedAws, tmp_path: Path, arguments: Sequence[str], call: str, last: str
) -> None:
    with start(*arguments, environment=embedded_aws.environment() | NOWHERE, cwd=tmp_path) as process:
        assert process.stderr is not None
        assert process.stderr.readline().decode() == (
            "export-status: AWS does not answer as it should"
            f" ({call}: EndpointConnectionError); trying again for a minute or two\n"
        )
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err.decode()) == (130, b"", last)
