"""Runs the shell commands of a document against an emulator, with the AWS CLI."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.infra.cloudformation import INFRA
from tests.infra.tool_venvs import commands_of
from tests.support.commands import finished

ROOT = INFRA.parent
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Version 1 of the CLI does not take AWS_ENDPOINT_URL for SQS.
PREAMBLE = 'aws() { command aws --endpoint-url "$ENDPOINT_URL" "$@"; }\n'
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "embedded", "AWS_SECRET_ACCESS_KEY": "embedded"}
END_OF_BLOCK = "=== end of block ==="


def blocks(page: Path) -> list[tuple[str, str | None]]:
    """The page's commands in order, each with the output that follows it on the page, if any."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    following = [*found[1:], ("bash", "")]
    return [
        (text, shown if kind == "text" else None)
        for (language, text), (kind, shown) in zip(found, following, strict=True)
        if language == "bash"
    ]


def run(
    page: Path, endpoint_url: str, only: Sequence[str] = ("",), edits: Mapping[str, str] | None = None
) -> list[str]:
    """Runs every block in one shell, or those with one of the texts; what each printed.

    Args:
        page: with the blocks.
        endpoint_url: of the emulator.
        only: texts of blocks.
        edits: lines that a reader changes, each with what it becomes.
    """
    chosen = [text for text, _ in blocks(page) if any(part in text for part in only)]
    script = PREAMBLE + "".join(f"{text}\necho '{END_OF_BLOCK}'\n" for text in chosen)
    for line, becomes in (edits or {}).items():
        assert script.count(f"\n{line}\n") == 1
        script = script.replace(f"\n{line}\n", f"\n{becomes}\n")
    path = f"{commands_of('awscli')}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": "/nonexistent", "ENDPOINT_URL": endpoint_url, **CREDENTIALS}
    done = finished("sh", "-eu", "-c", script, folder=ROOT, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(f"{END_OF_BLOCK}\n")[:-1]
