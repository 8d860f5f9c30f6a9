"""A usage error is one sentence without a secret, and the status in any case."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.conftest import Command
from tests.cli.processes import whole_environment

URL = "https://bucket.example/report.csv?X-Amz-Signature=SECRET"
YEAR_SECONDS = 31_536_000


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["audit", "replay"], "Missing option '--since' (see export-status audit replay --help)"),
        (["audit", "nonsense"], "No such command 'nonsense' (see export-status audit --help)"),
        (["nonsense"], "No such command 'nonsense' (see export-status --help)"),
        (["get"], "Missing argument 'REQUEST_ID' (see export-status get --help)"),
        (
            ["run", "--only", "both"],
            "--only must be one of transitions, audit (see export-status run --help)",
        ),
        (
            ["list", "--status", "is not one of"],
            "--status must be one of pending, processing, completed, failed (see export-status list --help)",
        ),
        (["local", "--port", "x"], "--port must be a whole number (see export-status local --help)"),
        (["local", "--port", "65536"], "--port must be at most 65535 (see export-status local --help)"),
        (["dlq", "list", "--limit", "0"], "--limit must be at least 1 (see export-status dlq list --help)"),
        *(
            (
                [command, "--ttl-seconds", str(YEAR_SECONDS + 1)],
                f"--ttl-seconds must be at most {YEAR_SECONDS} (see export-status {command} --help)",
            )
            for command in ("local", "demo")
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_sentence_that_names_the_whole_command(
    command: Command, arguments: Sequence[str], line: str
) -> None:
    ran = command(*arguments, environment={})
    assert (ran.status, ran.out, ran.err) == (2, "", f"export-status: {line}\n")


@pytest.mark.parametrize(
    "arguments",
    [("get", "a", URL), ("get", "a", f"--{URL}"), ("list", "--status", URL), ("publish", URL), (URL,)],
    ids=" ".join,
)
def test_a_signed_url_among_the_arguments_is_not_repeated(
    embedded_aws: EmbeddedAws, command: Command, arguments: Sequence[str]
) -> None:
    ran = command(*arguments, environment=embedded_aws.environment())
    assert (ran.status, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    assert "SECRET" not in ran.err


@pytest.mark.parametrize("arguments", [("nonsense",), ("get", ""), ("list", "--older-than", "soon")])
@pytest.mark.parametrize("standard_error", ["2>&-", "2>/dev/full"])
def test_where_standard_error_is_closed_only_the_status_reports_it(
    tmp_path: Path, arguments: Sequence[str], standard_error: str
) -> None:
    words = shlex.join([sys.executable, "-m", "processor", *arguments])
    done = subprocess.run(
        ["sh", "-c", f"{words} {standard_error}"],
        cwd=tmp_path,
        env=whole_environment({}),
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
