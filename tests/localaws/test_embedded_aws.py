"""The embedded AWS is alone with itself and leaves nothing behind; `check` finds all of it deployed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.waiting import eventually

HOSTILE = {
    "AWS_PROFILE": "no-such-profile",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_CLOUDFORMATION": "http://127.0.0.1:9",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_CA_BUNDLE": "/no/such/file",
    "AWS_DEFAULT_REGION": "eu-south-2",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "MOTO_ACCOUNT_ID": "999999999999",
}


def test_it_starts_silently_whatever_aws_settings_the_caller_has() -> None:
    program = (
        "from processor.localaws.embedded_aws import EmbeddedAws\n"
        "with EmbeddedAws() as aws:\n"
        "    identity = aws.client('sts').get_caller_identity()\n"
        "    assert identity['Account'] == '123456789012', identity\n"
        "    assert aws.client('dynamodb').meta.region_name == aws.environment()['AWS_REGION']\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **HOSTILE}, capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


@pytest.mark.parametrize("command", ["local", "demo"])
def test_without_the_extra_the_error_names_the_command_to_install_it(command: str, tmp_path: Path) -> None:
    # Everything that only the extra brings is hidden from the interpreter.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        "hidden = {'moto', 'flask', 'werkzeug', 'yaml'}\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in hidden:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "processor", command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "export-status: the embedded AWS needs the extra `demo`: pip install 'export-status[demo]'\n"
    )


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_stop_may_come_before_start_and_twice() -> None:
    aws = EmbeddedAws()
    aws.stop()
    aws.start()
    port = int(aws.endpoint_url.rpartition(":")[2])
    aws.stop()
    aws.stop()
    assert refuses(port)


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc, which this system lacks")
def test_the_server_ends_when_its_owner_is_killed() -> None:
    program = (
        "import sys\nfrom processor.localaws.embedded_aws import EmbeddedAws\n"
        "aws = EmbeddedAws()\naws.start()\nprint(aws.endpoint_url, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline().rpartition(":")[2])
        owner.kill()
    eventually(lambda: refuses(port))
