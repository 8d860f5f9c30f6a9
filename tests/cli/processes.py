"""Runs commands as processes, for tests of signals, pipes and terminals."""

import os
import pty
import select
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TIMEOUT_SECONDS = 300

COMMAND = (sys.executable, "-m", "processor")


def whole_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """An environment that holds these settings and nothing of the caller's but where programs are."""
    return {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", "TERM": "xterm-256color", **settings}


def start(
    *arguments: str, environment: Mapping[str, str], cwd: Path, stdout: int = subprocess.PIPE
) -> "subprocess.Popen[bytes]":
    """The command running, its outputs piped."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=whole_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def run(
    *arguments: str, environment: Mapping[str, str], cwd: Path, timeout_seconds: float = TIMEOUT_SECONDS
) -> "subprocess.CompletedProcess[str]":
    """Runs the command to its end."""
    with start(*arguments, environment=environment, cwd=cwd) as process:
        try:
            out, err = process.communicate(timeout=timeout_seconds)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), err.decode())


def run_in_terminal(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    on_output: Callable[[str, "subprocess.Popen[bytes]"], None] | None = None,
) -> tuple[int, str]:
    """Runs the command with a terminal of 80 columns as its outputs.

    Args:
        arguments: of `export-status`.
        environment: the settings.
        cwd: the working directory.
        on_output: called with all that was shown so far, each time that more is shown.

    Returns:
        The exit status and what it showed.
    """
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            env=whole_environment({"COLUMNS": "80", "LINES": "24", **environment}),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    shown = bytearray()
    try:
        with suppress(OSError):  # Linux raises it when the last writer has closed
            while select.select([ours], [], [], TIMEOUT_SECONDS)[0]:
                piece = os.read(ours, 65_536)
                if not piece:
                    break
                shown += piece
                if on_output is not None:
                    on_output(shown.decode(errors="replace"), process)
        return process.wait(TIMEOUT_SECONDS), shown.decode(errors="replace")
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def run_in_shell(
    arguments: str, redirections: str, *, environment: Mapping[str, str], cwd: Path
) -> "subprocess.CompletedProcess[bytes]":
    """Runs the command in a shell that redirects its input and outputs, for example `2>&-`."""
    return subprocess.run(
        ["sh", "-c", f"{shlex.join(COMMAND)} {arguments} {redirections}"],
        cwd=cwd,
        env=whole_environment(environment),
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
