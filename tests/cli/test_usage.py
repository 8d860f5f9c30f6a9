"""A usage error is one sentence without a secret, and the status in any case."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.cli.commands import Command, Ran
from tests.cli.processes import run_in_shell

URL = "https://bucket.example/report.csv?X-Amz-Signature=SECRET"


@pytest.mark.parametrize(
    ("path", "rest", "problem"),
    [
        ("audit replay", "", "Missing option '--since'"),
        ("audit", "nonsense", "No such command 'nonsense'"),
        ("", "nonsense", "No such command 'nonsense'"),
        ("get", "", "Missing argument 'REQUEST_ID'"),
        ("run", "--only both", "--only must be one of transitions, audit"),
        ("list", "--status 1", "--status must be one of pending, processing, completed, failed"),
        ("local", "--port x", "--port must be a whole number"),
        ("local", "--port 65536", "--port must be at most 65535"),
        ("dlq list", "--limit 0", "--limit must be at least 1"),
        ("demo", "--ttl-seconds 31536001", "--ttl-seconds must be at most 31536000"),
    ],
)
def test_wrong_usage_is_one_sentence_that_names_the_whole_command(
    command: Command, path: str, rest: str, problem: str
) -> None:
    ran = command(*path.split(), *rest.split(), environment={})
    help_of = f"export-status {path}".strip()
    assert ran == Ran(2, "", f"export-status: {problem} (see {help_of} --help)\n")


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


@pytest.mark.parametrize("arguments", ["nonsense", "get ''", "list --older-than soon"])
@pytest.mark.parametrize("standard_error", ["2>&-", "2>/dev/full"])
def test_where_standard_error_is_closed_only_the_status_reports_it(
    tmp_path: Path, arguments: str, standard_error: str
) -> None:
    done = run_in_shell(arguments, standard_error, environment={}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
