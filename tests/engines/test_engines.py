"""The emulators do what tests rely on them for."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import provision
from tests.engines.dynamodb_local import DynamoDbLocal
from tests.engines.ministack import Ministack
from tests.engines.process import Engine, EngineError
from tests.resources import (
    ClientFactory,
    drained_messages,
    item_of,
    queue_pair,
    status_table,
    stream_records,
)
from tests.waiting import eventually

Clients = Callable[[str], ClientFactory]
KEY = {"requestId": {"S": "a"}}
PROCESSES = Path("/proc")
needs_proc = pytest.mark.skipif(not PROCESSES.exists(), reason="looks into /proc, which this system lacks")


@pytest.mark.dynamodb_local
def test_dynamodb_local_has_conditions_partiql_and_a_stream(dynamodb_local: str, clients: Clients) -> None:
    at = clients(dynamodb_local)
    table = status_table(at)
    insert = f"INSERT INTO \"{table}\" VALUE {{'requestId': 'a', 'status': 'pending'}}"
    update = f'UPDATE "{table}" SET "status"=\'failed\' WHERE "requestId"=\'b\''  # noqa: S608
    answers = at("dynamodb").batch_execute_statement(
        Statements=[{"Statement": insert}, {"Statement": update}]
    )
    codes = [answer.get("Error", {}).get("Code") for answer in answers["Responses"]]
    assert codes == [None, "ConditionalCheckFailed"]
    assert item_of(at, table, "a") == {**KEY, "status": {"S": "pending"}}
    [record] = eventually(lambda: stream_records(at, table))
    assert record["eventName"] == "INSERT"


@needs_proc
@pytest.mark.dynamodb_local
def test_dynamodb_local_listens_on_loopback_only(dynamodb_local: str) -> None:
    port = int(dynamodb_local.rpartition(":")[2])
    lines = [file.read_text().splitlines()[1:] for file in PROCESSES.glob("net/tcp*")]
    sockets = [line.split() for each in lines for line in each]
    addresses = {local.removesuffix(f":{port:04X}") for _, local, _, state, *_ in sockets if state == "0A"}
    # 127.0.0.1 as /proc/net/tcp writes it, and the same mapped into IPv6; all others still have their port.
    assert {each for each in addresses if ":" not in each} in (
        {"0100007F"},
        {"0000000000000000FFFF00000100007F"},
    )


def test_ministack_redrives_after_the_maximum_of_receives(ministack: str, clients: Clients) -> None:
    at = clients(ministack)
    queue_url, dlq_url = queue_pair(at, max_receive_count=1, visibility_seconds=0)
    at("sqs").send_message(QueueUrl=queue_url, MessageBody="x")
    assert len(at("sqs").receive_message(QueueUrl=queue_url)["Messages"]) == 1

    def redriven() -> list[str]:
        at("sqs").receive_message(QueueUrl=queue_url)
        return [message["Body"] for message in drained_messages(at, dlq_url)]

    assert eventually(redriven) == ["x"]


@needs_proc
@pytest.mark.parametrize("engine", [DynamoDbLocal(), Ministack()], ids=["dynamodb-local", "ministack"])
def test_an_engine_ends_when_its_owner_is_killed(engine: Engine, tmp_path: Path) -> None:
    engine.require()
    program = (
        "import sys\n"
        f"from {type(engine).__module__} import {type(engine).__name__} as Kind\n"
        "engine = Kind()\nengine.start()\n"
        "print(engine.pid, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout is not None
        process = PROCESSES / str(int(owner.stdout.readline()))
        assert _runs(process)
        owner.kill()
        eventually(lambda: not _runs(process))


def test_a_missing_engine_names_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.engines.ministack.PYTHON", tmp_path / "python")
    with pytest.raises(EngineError, match="make ministack"):
        Ministack().start()


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (None, "there is no `npm` on the PATH"),
        ("echo x > dynamodb-1.0.0.tgz; echo '{}'", "is not the archive whose hash is pinned"),
        ("", "npm has fetched nothing"),
        ("echo npm error code E404 >&2; exit 1", "npm error code E404"),
    ],
)
def test_what_npm_prints_does_not_matter_but_what_it_fetches(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    script: str | None,
    line: str,
) -> None:
    if script is not None:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "npm").chmod(0o755)
    monkeypatch.setattr("tests.engines.dynamodb_local.HOME", tmp_path / "home")
    monkeypatch.setattr("tests.engines.dynamodb_local.missing_java", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provision.main(["dynamodb-local"]) == 1
    assert line in capsys.readouterr().err


def test_provisioning_without_java_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provision.main(["dynamodb-local"]) == 1
    assert "needs a JDK 17 or newer" in capsys.readouterr().err


def _runs(process: Path) -> bool:
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
