"""The command `healthcheck` as a container runs it: another process, no settings but the file's path."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processor.observability.health import Health
from tests.waiting import eventually

TIMEOUT_SECONDS = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export-status.health"


def healthcheck(path: Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in an environment that holds the file's path and what is given, nothing else."""
    return subprocess.run(
        [sys.executable, "-m", "processor", "healthcheck"],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "EXPORT_HEALTH_FILE": str(path)} | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


@contextmanager
def service(path: Path) -> Iterator[Health]:
    """A service's health in this process; the command is the other one."""
    health = Health(path, pytest.fail)
    health.start()
    try:
        yield health
    finally:
        health.stop()


def test_a_service_whose_loops_beat_is_healthy(path: Path, tmp_path: Path) -> None:
    with service(path) as health:
        health.loop("receiver-1", 60)
        health.write()
        result = healthcheck(path, tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "healthy\n", "")


def test_a_stuck_receiver_exits_1_with_one_line(path: Path, tmp_path: Path) -> None:
    with service(path) as health:
        health.loop("lease renewer", 3_600)
        health.loop("receiver-1", 0.3)

        def failed() -> "subprocess.CompletedProcess[str] | None":
            health.write()
            result = healthcheck(path, tmp_path)
            return result if result.returncode else None

        found = eventually(failed)
    assert found is not None
    assert (found.returncode, found.stdout) == (1, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("unhealthy: receiver-1 has made no progress for ")


def test_a_degraded_service_exits_0_and_names_the_reason(path: Path, tmp_path: Path) -> None:
    with service(path) as health:
        health.loop("receiver-1", 60)
        health.report("sink kinesis", "takes no entries")
        health.write()
        result = healthcheck(path, tmp_path)
    assert (result.returncode, result.stdout) == (0, "healthy, degraded: sink kinesis: takes no entries\n")


def test_no_service_exits_1_with_one_line(path: Path, tmp_path: Path) -> None:
    result = healthcheck(path, tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"unhealthy: no health file at {path}: the service is not running\n"


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"EXPORT_HEALTH_FILE": ""}, id="the path is in .env"),
        pytest.param({"EXPORT_RECEIVERS": "many", "AWS_ENDPOINT_URL": "nowhere"}, id="other settings"),
    ],
)
def test_only_the_file_s_path_counts(path: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / ".env").write_text(f"EXPORT_HEALTH_FILE={path}\n")
    with service(path) as health:
        health.loop("receiver-1", 60)
        health.write()
        result = healthcheck(path, tmp_path, **environment)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_unreadable_dotenv_exits_1_since_docker_keeps_2_for_itself(path: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\xfa")
    result = healthcheck(path, tmp_path, EXPORT_HEALTH_FILE="")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("unhealthy: .env ")


def test_it_starts_without_the_aws_sdk(path: Path, tmp_path: Path) -> None:
    """HEALTHCHECK runs it every 30 s next to the service: it must import only what it needs."""
    heavy = {"boto3", "botocore", "aws_kinesis_agg", "structlog", "moto", "urllib3"}
    program = (
        "import sys; sys.argv = ['export-status', 'healthcheck']\n"
        "from processor.cli.app import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print(*sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "EXPORT_HEALTH_FILE": str(path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    assert result.stderr.startswith("unhealthy: ")
    assert not heavy & set(result.stdout.split())
