"""Runs a command to its end."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def finished(
    *command: str | Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    text: str = "",
    seconds: float = 1_500,
) -> "subprocess.CompletedProcess[str]":
    """What came of a command: its exit status and what it printed.

    Args:
        command: its words.
        folder: where it runs (here).
        environment: the whole of it (ours).
        text: its standard input.
        seconds: the longest that it may take.
    """
    return subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
