"""The command `healthcheck` as a container runs it: no settings but the file's path."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from processor.observability.health import Health
from tests.cli.commands import Command, Ran


@pytest.mark.parametrize(
    ("limit_seconds", "degraded", "result"),
    [
        (60, (), Ran(0, "healthy\n", "")),
        (60, ("sink kinesis", "is down"), Ran(0, "healthy, degraded: sink kinesis: is down\n", "")),
        (0, (), Ran(1, "", "unhealthy: receiver-1 has made no progress for ")),
    ],
    ids=["healthy", "degraded", "stuck"],
)
def test_the_file_s_path_alone_decides(
    tmp_path: Path, command: Command, limit_seconds: float, degraded: tuple[str, ...], result: Ran
) -> None:
    path = tmp_path / "export-status.health"
    (tmp_path / ".env").write_text(f"EXPORT_HEALTH_FILE={path}\n")
    wrong = {"EXPORT_RECEIVERS": "many", "AWS_ENDPOINT_URL": "nowhere"}  # for another command
    health = Health(path, pytest.fail)
    health.start()
    try:
        health.loop("receiver-1", limit_seconds)
        if degraded:
            health.report(*degraded)
        health.write()
        ran = command("healthcheck", environment={**wrong, "EXPORT_HEALTH_FILE": ""})
        assert command("healthcheck", environment={"EXPORT_HEALTH_FILE": str(path)}).status == ran.status
    finally:
        health.stop()
    assert (ran.status, ran.out) == (result.status, result.out)
    assert ran.err.startswith(result.err)
    assert ran.err.count("\n") == result.status


def test_what_cannot_be_read_exits_1_since_docker_keeps_2_for_itself(
    tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "export-status.health"
    ran = command("healthcheck", environment={"EXPORT_HEALTH_FILE": str(path)})
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"unhealthy: no health file at {path}: the service is not running\n"
    (tmp_path / ".env").write_bytes(b"\xff\xfe\xfa")
    ran = command("healthcheck", environment={"EXPORT_HEALTH_FILE": ""})
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("unhealthy: .env ")


def test_it_starts_without_the_aws_sdk(tmp_path: Path) -> None:
    """HEALTHCHECK runs it every 30 s next to the service: it must import only what it needs."""
    heavy = {"boto3", "botocore", "aws_kinesis_agg", "structlog", "moto", "urllib3"}
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "processor", "healthcheck"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "EXPORT_HEALTH_FILE": str(tmp_path / "health")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *imports, said = result.stderr.splitlines()
    assert said.startswith("unhealthy: ")
    imported = {line.rpartition("|")[2].strip() for line in imports}
    assert "processor.observability.health" in imported
    assert not heavy & imported
