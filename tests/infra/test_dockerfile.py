"""The image: what is in it, who runs it, and that its steps lead to a service that stops on SIGTERM."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.engines.process import cannot
from tests.infra.cloudformation import of_type
from tests.infra.dockerfile import DOCKERFILE, ROOT, Replay, context_files, instructions, last
from tests.support.commands import finished
from tests.waiting import eventually

UNPRIVILEGED = 10001
AS_UNPRIVILEGED: dict[str, Any] = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}


def test_the_image_holds_the_service_and_nothing_to_build_or_test_it_with() -> None:
    sent = {str(path) for path in context_files()}
    assert {"requirements.lock", "pyproject.toml", "handlers/export.py", "processor/service.py"} <= sent
    assert {"infra/data.yaml", "infra/iam/task-policy.json"} <= sent
    folders = {name.partition("/")[0] for name in sent if "/" in name}
    assert folders == {"handlers", "processor", "infra"}
    assert not [name for name in sent if ".env" in name or "terraform" in name or "test" in name]


def test_an_env_file_stays_out_of_the_image_wherever_it_lies(tmp_path: Path) -> None:
    finished("git", "init", "--quiet", folder=tmp_path)
    shutil.copyfile(ROOT / ".dockerignore", tmp_path / ".dockerignore")
    secret = (".env", "processor/.env", "processor/audit/.env", "handlers/.env.local", "infra/iam/.env.prod")
    for name in (*secret, "handlers/export.py", "infra/iam/task-policy.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {str(path) for path in context_files(tmp_path)} == {
        "handlers/export.py",
        "infra/iam/task-policy.json",
    }


def test_the_final_stage_copies_the_virtual_environment_alone() -> None:
    final = max(each.stage for each in instructions())
    copied = [each.rest for each in instructions() if each.stage == final and each.word in {"COPY", "ADD"}]
    assert copied == ["--from=build /opt/export-status /opt/export-status"]


def test_the_base_is_pinned_by_version_and_can_be_pinned_by_digest() -> None:
    bases = [each.rest for each in instructions() if each.word == "FROM"]
    pinned = "python:${PYTHON_VERSION}-slim-trixie${PYTHON_DIGEST:+@${PYTHON_DIGEST}}"
    assert bases == [f"{pinned} AS build", pinned]
    version, digest = (each.rest for each in instructions() if each.stage == -1)
    assert re.fullmatch(r"PYTHON_VERSION=3\.14\.\d+", version), "3.14 alone is another image every few weeks"
    assert re.fullmatch(r'PYTHON_DIGEST="(sha256:[0-9a-f]{64})?"', digest)


@pytest.mark.parametrize(
    ("answer", "written", "committed"),
    [
        (f"echo sha256:{'a' * 64}", f'"sha256:{"a" * 64}"', True),
        ("echo sha256:short", '""', False),
        ("echo unreachable >&2; exit 1", '""', False),
    ],
)
def test_the_digest_of_the_base_is_committed_or_left_empty_and_never_invented(
    tmp_path: Path, answer: str, written: str, committed: bool
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/base-digest", tmp_path / ".ci")
    text = re.sub(r"(?m)^ARG PYTHON_DIGEST=.*", 'ARG PYTHON_DIGEST=""', DOCKERFILE.read_text())
    (tmp_path / "Dockerfile").write_text(text)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/sh\n{answer}\n")
    docker.chmod(0o755)
    environment = {"PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    (tmp_path / ".gitconfig").write_text("[user]\nname = t\nemail = t@example.com\n")

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        return finished(*command, folder=tmp_path, environment=environment)

    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "first")):
        assert run("git", *arguments).returncode == 0
    done = run("./.ci/base-digest")
    assert f"ARG PYTHON_DIGEST={written}\n" in (tmp_path / "Dockerfile").read_text()
    commits = run("git", "log", "--oneline").stdout.splitlines()
    assert (done.returncode == 0, len(commits) == 2) == (committed, committed)


def test_the_image_agrees_with_the_task_definition() -> None:
    definition = of_type("service.yaml", "AWS::ECS::TaskDefinition")["TaskDefinition"]
    (container,) = definition["ContainerDefinitions"]
    assert last("USER").rest == container["User"]
    assert last("ENTRYPOINT").exec_form() == ["export-status"]
    assert last("CMD").exec_form() == container["Command"]
    assert last("VOLUME").exec_form() == [container["MountPoints"][0]["ContainerPath"]]
    health = container["HealthCheck"]
    options, _, command = last("HEALTHCHECK").rest.partition(" CMD ")
    assert ["CMD", *json.loads(command)] == health["Command"] == ["CMD", "export-status", "healthcheck"]
    assert options.split() == [
        f"--interval={health['Interval']}s",
        f"--timeout={health['Timeout']}s",
        f"--start-period={health['StartPeriod']}s",
        f"--retries={health['Retries']}",
    ]


def test_the_build_s_own_tools_are_the_ones_of_the_developers_lock() -> None:
    def pins(path: Path) -> set[str]:
        lines = path.read_text().splitlines()
        return {line.removesuffix(" \\") for line in lines if "==" in line and not line.startswith(" ")}

    needed = pins(ROOT / "infra" / "image-build.lock")
    shared = {
        pin
        for pin in needed
        if any(pin.split("==")[0] == other.split("==")[0] for other in pins(ROOT / "requirements-dev.lock"))
    }
    assert shared <= pins(ROOT / "requirements-dev.lock")
    assert any(pin.startswith("hatchling==") for pin in shared)


@pytest.fixture(scope="module")
def replay() -> Iterator[Replay]:
    if os.geteuid() != 0:
        cannot("only root may run a process as another user")
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        replay = Replay(folder, interpreter_for_everybody())
        replay.build()
        yield replay
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
class TestReplay:
    """The first stage's own commands, then the entry point as an unprivileged user."""

    @pytest.fixture
    def environment(self, replay: Replay, tmp_path: Path) -> dict[str, str]:
        tmp = replay.place("/tmp") / tmp_path.name
        tmp.mkdir(parents=True)
        tmp.chmod(0o1777)
        return {
            "PATH": f"{replay.place('/opt/export-status/bin')}:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "EXPORT_HEALTH_FILE": str(tmp / "health"),
        }

    def start(
        self, replay: Replay, arguments: list[str], environment: dict[str, str]
    ) -> "subprocess.Popen[str]":
        command = [str(replay.place("/opt/export-status/bin") / last("ENTRYPOINT").exec_form()[0])]
        return subprocess.Popen(
            [*command, *arguments],
            env=environment,
            cwd="/",
            **AS_UNPRIVILEGED,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, replay: Replay, arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
        process = self.start(replay, arguments, environment)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def test_nothing_installed_can_be_changed_by_the_user_who_runs_it(self, replay: Replay) -> None:
        installed = replay.place("/opt/export-status")
        writable = [
            path
            for path in [installed, *installed.rglob("*")]
            if not path.is_symlink() and (path.stat().st_uid == UNPRIVILEGED or path.stat().st_mode & 0o002)
        ]
        assert writable == []

    def test_the_image_has_no_installer_and_no_emulator(self, replay: Replay) -> None:
        packages = {path.name for path in replay.place("/opt/export-status").rglob("site-packages/*")}
        assert {"boto3", "processor", "handlers"} <= packages
        assert not {"pip", "setuptools", "hatchling", "moto", "pytest"} & packages

    def test_commands_that_need_the_emulator_say_so(
        self, replay: Replay, environment: dict[str, str]
    ) -> None:
        status, output = self.run(replay, ["local"], environment)
        assert (status, output.count("\n")) == (1, 1)
        assert "export-status[demo]" in output

    def test_it_runs_is_healthy_and_ends_on_sigterm_to_the_very_process(
        self, replay: Replay, environment: dict[str, str]
    ) -> None:
        assert self.run(replay, ["healthcheck"], environment)[0] == 1
        with EmbeddedAws() as aws:
            everything = aws.service_environment() | environment
            process = self.start(replay, last("CMD").exec_form(), everything)
            try:
                eventually(
                    lambda: (
                        process.poll() is not None or self.run(replay, ["healthcheck"], environment)[0] == 0
                    ),
                    300,
                )
                process.terminate()
                output, _ = process.communicate(timeout=300)
            finally:
                process.kill()
                process.wait()
        assert process.returncode == 0, output


def interpreter_for_everybody() -> str:
    """A Python 3.11 or later that an unprivileged user may run: ours, or the system's."""
    found = [f"{sys.base_prefix}/bin/python3", *(f"/usr/bin/python3.{minor}" for minor in (14, 13, 12, 11))]
    for python in found:
        command = f"{python} -c 'import venv' 2>&1"
        done = subprocess.run(["/bin/sh", "-c", command], cwd="/", check=False, **AS_UNPRIVILEGED)
        if done.returncode == 0:
            return python
    return cannot("no Python 3.11 or later that an unprivileged user may run")
