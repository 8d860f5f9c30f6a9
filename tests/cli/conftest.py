"""Runs commands in this process: a fresh Python for each would cost a second."""

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from processor.cli import main

SETTINGS = ("AWS_", "EXPORT_", "SQS_", "DYNAMODB_", "KINESIS_", "LOG_")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output."""
        return self.out.splitlines()


Command = Callable[..., Ran]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Command]:
    """`command("get", "req-1", environment=…, stdin=…)`: runs `export-status get req-1` in an empty directory
    with these settings and no others."""
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, environment: Mapping[str, str], stdin: bytes | None = b"") -> Ran:
        with monkeypatch.context() as patched:
            for name in os.environ:
                if name.startswith(SETTINGS):
                    patched.delenv(name)
            for name, value in environment.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["export-status", *arguments])
            patched.setattr(sys, "stdin", None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin)))
            capsys.readouterr()
            try:
                main()
                status = 0
            except SystemExit as left:
                status = left.code if isinstance(left.code, int) else 0
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    yield run
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
