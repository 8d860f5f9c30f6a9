"""Runs the shell commands of a page."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.infra.tool_venvs import commands_of


def shell(
    script: str, environment: Mapping[str, str], folder: Path, *tools: str
) -> "subprocess.CompletedProcess[str]":
    """Runs a script in bash; its end and what it printed.

    Args:
        script: of the page.
        environment: the whole of it, but PATH.
        folder: where it runs.
        tools: those of `tests/infra/locks` whose commands it needs, besides our own.
    """
    path = [str(Path(sys.executable).parent), *(str(commands_of(tool)) for tool in tools), os.environ["PATH"]]
    return subprocess.run(
        ["bash", "-uo", "pipefail", "-c", script],
        cwd=folder,
        env={**environment, "PATH": os.pathsep.join(path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )
