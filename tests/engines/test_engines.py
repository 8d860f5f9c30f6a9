"""The emulators listen on loopback only, end with their owner, and are installed as they were pinned."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import provision
from tests.engines.dynamodb_local import DynamoDbLocal
from tests.engines.ministack import Ministack
from tests.engines.process import Engine, EngineError
from tests.waiting import eventually

PROCESSES = Path("/proc")
needs_proc = pytest.mark.skipif(not PROCESSES.exists(), reason="looks into /proc, which this system lacks")


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
