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

from tests.cli.processes import run, start
from tests.waiting import eventually


@contextmanager
def local(cwd: Path, *options: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The command running; killed at the end if it still does."""
    with start("local", *options, environment=environment, cwd=cwd) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until_ready(process: "subprocess.Popen[bytes]") -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.decode().rstrip("\n"))
        if line.startswith(b"# Ready"):
            return lines
    raise AssertionError(f"never ready: {lines}")


def listens(endpoint_url: str) -> bool:
    host, _, port = endpoint_url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def variables(lines: list[str]) -> dict[str, str]:
    """What a shell's environment holds after the lines were pasted into it."""
    pasted = subprocess.run(
        ["sh", "-c", "\n".join([*lines, "env"])],
        env={"PATH": os.environ["PATH"], "AWS_PROFILE": "mine", "AWS_ENDPOINT_URL_SQS": "http://elsewhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in pasted.stdout.splitlines())


def end(process: "subprocess.Popen[bytes]", ending: signal.Signals) -> None:
    """Ends the command, which says nothing about it."""
    process.send_signal(ending)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_exit_0_and_nothing_listens_any_more(
    tmp_path: Path, ending: signal.Signals
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a background job of a script inherits
    try:
        with local(tmp_path) as process:
            endpoint_url = variables(lines_until_ready(process))["AWS_ENDPOINT_URL"]
            assert listens(endpoint_url)
            end(process, ending)
    finally:
        signal.signal(signal.SIGINT, before)
    eventually(lambda: not listens(endpoint_url))


def test_the_pasted_lines_lead_a_shell_to_it_past_its_own_aws_settings(tmp_path: Path) -> None:
    astray = {"AWS_PROFILE": "no-such-profile", "AWS_ENDPOINT_URL": "http://x"}
    with local(tmp_path, "--ttl-seconds", "60", **astray) as process:
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


def test_a_signal_during_the_start_ends_it_with_exit_0(tmp_path: Path) -> None:
    with local(tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")  # Linux only
        eventually(lambda: children.read_text().strip())
        end(process, signal.SIGTERM)


def test_a_port_in_use_is_one_line_and_exit_1(tmp_path: Path) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        ran = run("local", "--port", str(port), environment={}, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"export-status: port {port} on 127.0.0.1 is in use; choose another\n"
