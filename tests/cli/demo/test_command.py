"""The demo as a person and as CI see it: a real service on a real terminal, or plain lines."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from processor.cli.styles import STATUS_STYLES
from tests.cli.processes import run, run_in_terminal, start
from tests.docs.markdown import fenced, read
from tests.waiting import eventually

OPTIONS = ("demo", "--exports", "20", "--ttl-seconds", "8")
LIMIT_SECONDS = 240
COLUMNS, LINES = 80, 24
PROCESSES = Path("/proc")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROCESSES.exists(), reason="looks into /proc, which this system lacks"),
]


def astray(directory: Path) -> dict[str, str]:
    """A caller's environment that would lead astray, were it read; temporary files go into the directory."""
    return {
        "TMPDIR": str(directory),
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "SQS_EXPORT_EVENTS_QUEUE_URL": "http://127.0.0.1:9/queue",
    }


def descendants(directory: Path) -> dict[int, bytes]:
    """The processes of a demo with their command lines: those that run in its directory, or were started with
    it as TMPDIR."""
    found = {}
    mark = f"TMPDIR={directory}\0".encode()
    for process in PROCESSES.glob("[0-9]*"):
        try:
            is_its = mark in (process / "environ").read_bytes()
            is_its |= str((process / "cwd").readlink()).startswith(str(directory))
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            command_line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if is_its and state != "Z":
            found[int(process.name)] = command_line
    return found


def interrupted_demo(
    directory: Path, interrupt: Callable[["subprocess.Popen[bytes]"], object]
) -> tuple[int, str]:
    """A demo to which something happens when it shows exports; its exit status and standard error."""
    with start(*OPTIONS, environment=astray(directory), cwd=directory) as process:
        try:
            assert process.stdout is not None
            assert any(b"pending" in line for line in process.stdout)
            interrupt(process)
            _, err = process.communicate(timeout=LIMIT_SECONDS)
        finally:
            process.kill()
    return process.returncode, err.decode()


def test_without_a_terminal_it_prints_plain_lines_and_checks_itself(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9\nLOG_LEVEL=NONSENSE\n")
    ran = run(*OPTIONS, environment=astray(tmp_path), cwd=tmp_path, timeout_seconds=LIMIT_SECONDS)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout.endswith("\nThe demo passed.\n")
    assert "\x1b" not in ran.stdout
    assert ran.stdout.isascii()
    assert len(re.findall(r"export-\S+  expired\b", ran.stdout)) == 20
    assert len(re.findall(r"export-\S+  audited\b", ran.stdout)) == 20
    assert not re.search(r"[ \t]$", ran.stdout, re.MULTILINE)
    assert max(map(len, ran.stdout.splitlines())) <= COLUMNS
    assert "X-Amz-Signature" not in ran.stdout
    assert descendants(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert checks_and_labels(ran.stdout) == checks_and_labels(fenced(read("README.md"), "capture: demo"))


def checks_and_labels(output: str) -> list[str]:
    """The labels and the checked statements of a report, without the numbers."""
    found = re.findall(r"^(?:ok  .*|[a-z]+(?: [a-z]+)?(?=  +\S))", output, re.MULTILINE)
    return [re.sub(r"\d+", "N", each) for each in found]


def test_on_a_terminal_it_fits_80_columns_and_24_lines(tmp_path: Path) -> None:
    status, shown = run_in_terminal(OPTIONS, environment=astray(tmp_path), cwd=tmp_path)
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


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_early_without_a_traceback_and_leaves_nothing(
    ending: signal.Signals, tmp_path: Path
) -> None:
    assert interrupted_demo(tmp_path, lambda process: process.send_signal(ending)) == (130, "")
    assert descendants(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_killed_it_leaves_no_process_behind(tmp_path: Path) -> None:
    def kill(process: "subprocess.Popen[bytes]") -> None:
        assert len(descendants(tmp_path)) == 3  # itself, the embedded AWS, the service
        process.kill()

    interrupted_demo(tmp_path, kill)
    eventually(lambda: not descendants(tmp_path))


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (rb"\0run\0", "the service ended by itself; its last lines: {"),
        (rb"processor\.localaws\.server", "the (embedded AWS|producer|table watcher) "),
    ],
    ids=["service", "embedded AWS"],
)
def test_a_part_that_dies_fails_the_demo_with_one_line(tmp_path: Path, part: bytes, line: str) -> None:
    def kill_part(_: object) -> None:
        [died] = [pid for pid, command in descendants(tmp_path).items() if re.search(part, command)]
        os.kill(died, signal.SIGKILL)

    status, err = interrupted_demo(tmp_path, kill_part)
    assert status == 1
    assert re.fullmatch(f"export-status: {line}[^\n]+\n", err)
    assert descendants(tmp_path) == {}
