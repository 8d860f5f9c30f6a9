"""Terraform itself accepts the modules: init, validate and test, against the AWS provider's schema.

The provider's registry is not reachable everywhere, so a stand-in serves the schema. This is a check of
names, types and of what the modules make of their variables, not a plan against AWS.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.infra.cloudformation import INFRA
from tests.infra.tool_venvs import commands_of
from tests.support.commands import finished

Terraform = Callable[..., "subprocess.CompletedProcess[str]"]
STUB = Path(__file__).with_name("terraform_stub.py")
SCHEMA = Path(__file__).with_name("terraform_aws_schema.json")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """Runs terraform with the stand-in as its AWS provider."""
    binary = shutil.which("terraform")
    if binary is None:
        pytest.skip("terraform is not installed; test_terraform_agrees.py reads its files without it")
    folder = tmp_path_factory.mktemp("stub")
    socket = str(folder / "socket")
    process = subprocess.Popen(
        [commands_of("terraform-stub") / "python", STUB, SCHEMA, socket],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    attached = {
        "registry.terraform.io/hashicorp/aws": {
            "Protocol": "grpc",
            "ProtocolVersion": 6,
            "Pid": process.pid,
            "Test": True,
            "Addr": {"Network": "unix", "String": socket},
        }
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CHECKPOINT_DISABLE": "1",
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_CONFIG_FILE": os.devnull,
        "TF_REATTACH_PROVIDERS": json.dumps(attached),
    }

    def run(module: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return finished(binary, f"-chdir={module}", *arguments, environment=environment, seconds=120)

    try:
        assert process.stdout.readline() == "listening\n"
        yield run
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    """A copy of infra/ that terraform may write into."""
    copy = tmp_path / "infra"
    shutil.copytree(INFRA, copy, ignore=shutil.ignore_patterns(".terraform*"))
    return copy


@pytest.mark.parametrize("module", ["data", "service"])
def test_a_module_is_valid_and_passes_its_own_tests(terraform: Terraform, infra: Path, module: str) -> None:
    folder = infra / "terraform" / module
    for command in (("init", "-backend=false"), ("validate",), ("test",)):
        done = terraform(folder, *command, "-no-color")
        assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
    assert "0 passed" not in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('attribute_name = "ttl"', 'attribut_name = "ttl"', "Unsupported argument"),
        ("enabled        = true", 'enabled = "often"', "a bool is required"),
        ("aws_sqs_queue.events.id", "aws_sqs_queue.events.uri", "Unsupported attribute"),
    ],
)
def test_the_check_would_find(
    terraform: Terraform, infra: Path, right: str, wrong: str, complaint: str
) -> None:
    folder = infra / "terraform" / "data"
    terraform(folder, "init", "-backend=false")
    source = (folder / "main.tf").read_text()
    assert right in source
    (folder / "main.tf").write_text(source.replace(right, wrong, 1))
    assert complaint in terraform(folder, "validate", "-no-color").stderr
