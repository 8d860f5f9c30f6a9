"""Runs the shell commands of a page."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.infra.tool_venvs import commands_of
from tests.support.commands import finished


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
    everything = {**environment, "PATH": os.pathsep.join(path)}
    return finished("bash", "-uo", "pipefail", "-c", script, folder=folder, environment=everything)
