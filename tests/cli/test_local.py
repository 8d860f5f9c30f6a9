"""The command `local` as a person uses it: in a process that ends by a signal."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import eventually

COMMAND = [sys.executable, "-m", "processor", "local"]


@contextmanager
def local(*options: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The command running; killed at the end if it still does."""
    with subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until_ready(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith("# Ready"):
            return lines
    raise AssertionError(f"never ready: {lines}")


def listens(endpoint_url: str) -> bool:
    host, _, port = endpoint_url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def variables(lines: list[str], shell_variables: str = "env") -> dict[str, str]:
    """What a shell's environment holds after the lines were pasted into it."""
    pasted = subprocess.run(
        ["sh", "-c", "\n".join([*lines, shell_variables])],
        env={"PATH": os.environ["PATH"], "AWS_PROFILE": "mine", "AWS_ENDPOINT_URL_SQS": "http://elsewhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in pasted.stdout.splitlines())


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_exit_0_and_nothing_listens_any_more(ending: signal.Signals) -> None:
    with local() as process:
        endpoint_url = variables(lines_until_ready(process))["AWS_ENDPOINT_URL"]
        assert listens(endpoint_url)
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    eventually(lambda: not listens(endpoint_url))


def test_as_a_background_job_of_a_script_it_still_ends_by_ctrl_c() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the child inherits
    try:
        with local() as process:
            lines_until_ready(process)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_pasted_lines_lead_a_shell_to_it_past_its_own_aws_settings() -> None:
    with local("--ttl-seconds", "60", AWS_PROFILE="no-such-profile", AWS_ENDPOINT_URL="http://x") as process:
        pasted = variables(lines_until_ready(process))
        assert pasted["EXPORT_STATUS_TTL_SECONDS"] == "60"
        assert pasted["AWS_REGION"] == "us-east-1"
        assert pasted["EXPORT_AUDIT_SINKS"] == "kinesis,log"  # else `audit tail` would show nothing
        assert pasted["KINESIS_EXPORT_AUDIT_STREAM"]
        assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL_SQS"} & set(pasted)
        program = (
            "import boto3, os; boto3.client('sqs', os.environ['AWS_REGION'])"
            ".send_message(QueueUrl=os.environ['SQS_EXPORT_EVENTS_QUEUE_URL'], MessageBody='x')"
        )
        subprocess.run([sys.executable, "-c", program], env=pasted, check=True)


def test_a_signal_during_the_start_ends_it_with_exit_0() -> None:
    with local() as process:
        eventually(lambda: children(process.pid))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")


def test_a_port_in_use_is_one_line_and_exit_1() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        ran = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=60, check=False
        )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"export-status: port {port} on 127.0.0.1 is in use; choose another\n"


def children(pid: int) -> bool:
    """Whether the process has a child. Linux only."""
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().strip())
