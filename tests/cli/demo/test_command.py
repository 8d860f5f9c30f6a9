"""The demo as a person and as CI see it: a real service on a real terminal, or plain lines."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from processor.cli.styles import STATUS_STYLES
from tests.cli.processes import run_in_terminal
from tests.docs.markdown import fenced, read
from tests.waiting import eventually

OPTIONS = ("demo", "--exports", "20", "--ttl-seconds", "8")
COMMAND = [sys.executable, "-m", "processor", *OPTIONS]
LIMIT_SECONDS = 240
COLUMNS, LINES = 80, 24
PROCESSES = Path("/proc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROCESSES.exists(), reason="looks into /proc, which this system lacks"),
]


def environment(directory: Path, **more: str) -> Mapping[str, str]:
    """A caller's environment that would lead astray, were it read; temporary files go into the directory."""
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(directory),
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "SQS_EXPORT_EVENTS_QUEUE_URL": "http://127.0.0.1:9/queue",
        **more,
    }


def descendants(directory: Path) -> list[int]:
    """The processes of a demo: those that run in its directory, or were started with it as TMPDIR."""
    found = []
    mark = f"TMPDIR={directory}\0".encode()
    for process in PROCESSES.glob("[0-9]*"):
        try:
            started_with = (process / "environ").read_bytes()
            runs_in = str((process / "cwd").readlink())
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and (mark in started_with or runs_in.startswith(str(directory))):
            found.append(int(process.name))
    return found


@contextmanager
def demo(directory: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        COMMAND,
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", wanted: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted in line:
            return
    raise AssertionError(f"never printed {wanted!r}")


def test_without_a_terminal_it_prints_plain_lines_and_checks_itself(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9\nLOG_LEVEL=NONSENSE\n")
    ran = subprocess.run(
        COMMAND,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        cwd=tmp_path,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout.endswith("\nThe demo passed.\n")
    assert "\x1b" not in ran.stdout
    assert ran.stdout.isascii()
    assert len(re.findall(r"export-\S+  expired\b", ran.stdout)) == 20
    assert len(re.findall(r"export-\S+  audited\b", ran.stdout)) == 20
    assert not re.search(r"[ \t]$", ran.stdout, re.MULTILINE)
    assert max(map(len, ran.stdout.splitlines())) <= COLUMNS
    assert "X-Amz-Signature" not in ran.stdout
    assert descendants(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert checks_and_labels(ran.stdout) == checks_and_labels(fenced(read("README.md"), "capture: demo"))


def checks_and_labels(output: str) -> list[str]:
    """The labels and the checked statements of a report, without the numbers."""
    found = re.findall(r"^(?:ok  .*|[a-z]+(?: [a-z]+)?(?=  +\S))", output, re.MULTILINE)
    return [re.sub(r"\d+", "N", each) for each in found]


def test_on_a_terminal_it_fits_80_columns_and_24_lines(tmp_path: Path) -> None:
    shown, status = on_a_terminal(tmp_path, "--exports", "40")
    assert status == 0, shown[-3_000:]
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for name in (*STATUS_STYLES, "life left", "audit log", "The demo passed."):
        assert name in text
    assert all(len(line) <= COLUMNS for line in re.split(r"[\r\n]+", text))
    assert "\x1b[32m" in shown, "completed in green"
    moved_up = [int(count or 1) for count in re.findall(r"\x1b\[(\d*)A", shown)]
    frames = [len(run) for run in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", shown)]
    assert moved_up, "the table changes in place"
    assert max(frames) // len("\x1b[1A\x1b[2K") < LINES


def test_no_color_is_honoured(tmp_path: Path) -> None:
    shown, _ = on_a_terminal(tmp_path, "--exports", "1", stop_at="life left", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_early_without_a_traceback_and_leaves_nothing(
    ending: signal.Signals, tmp_path: Path
) -> None:
    with demo(tmp_path) as process:
        read_until(process, "pending")
        process.send_signal(ending)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode not in {0, -ending}
    assert err == ""
    assert descendants(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        read_until(process, "pending")
        assert len(descendants(tmp_path)) == 3  # itself, the embedded AWS, the service
        process.kill()
    eventually(lambda: not descendants(tmp_path))


def test_a_service_that_dies_fails_the_demo_with_its_last_lines(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        read_until(process, "pending")
        [service] = [pid for pid in descendants(tmp_path) if b"\0run\0" in command_line(pid)]
        os.kill(service, signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    assert err.startswith("export-status: the service ended by itself; its last lines: {")
    assert descendants(tmp_path) == []


def test_an_aws_that_dies_fails_the_demo_with_one_line(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        read_until(process, "pending")
        [server] = [pid for pid in descendants(tmp_path) if b"processor.localaws.server" in command_line(pid)]
        os.kill(server, signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    assert re.fullmatch(r"export-status: the (embedded AWS|producer|table watcher) [^\n]+\n", err)
    assert descendants(tmp_path) == []


def command_line(pid: int) -> bytes:
    return (PROCESSES / str(pid) / "cmdline").read_bytes()


def on_a_terminal(
    directory: Path, *options: str, stop_at: str | None = None, **more: str
) -> tuple[str, int | None]:
    """Runs the demo on a terminal of 80 columns; what it wrote, and its exit status."""
    stopped: list[bool] = []

    def stop(shown: str, process: "subprocess.Popen[bytes]") -> None:
        if stop_at is not None and stop_at in shown and not stopped:
            stopped.append(True)
            process.send_signal(signal.SIGINT)

    status, shown = run_in_terminal(
        (*OPTIONS, *options),
        environment=environment(directory, **more),
        cwd=directory,
        on_output=stop,
    )
    return shown, status
