"""The command `check`, and how it prints findings."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any

import typer
from rich.text import Text

from processor.aws.errors import AwsError
from processor.cli.check.deployed_state import read_deployed_state
from processor.cli.check.finding import Finding, Verdict
from processor.cli.check.judgement import judge_resources, judge_target, refused_everywhere
from processor.cli.check.permissions import judge_permissions, try_permissions
from processor.cli.check.target import Target
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import console, json_line, safe
from processor.cli.session import aws_settings, connect

MARKS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.FINE: ("✓", "green"),
    Verdict.WRONG: ("✗", "bold red"),
    Verdict.UNKNOWN: ("\N{EN DASH}", "dim"),
}


class Scope(Enum):
    """The halves of a check: an operator may describe resources, the service's role may use them."""

    RESOURCES = "resources"
    PERMISSIONS = "permissions"


def check(
    *,
    only: Annotated[Scope | None, typer.Option(help="check one of the two alone")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each finding")] = False,
) -> None:
    """Compare tables, queues, streams and permissions with what the service needs. Nothing is changed.

    ✓ is right; ✗ is wrong, and a remedy follows; a dash is unknown. Exit status 1 if anything is wrong.

    It tries the caller's permissions. With infra/iam/look-policy.json use --only resources; with
    the task's role, --only permissions.

    Example: export-status check --json | jq -r 'select(.verdict == "wrong") | .remedy'
    """
    out = console()
    anything_wrong = False
    for finding in findings(only):
        anything_wrong |= finding.verdict is Verdict.WRONG
        if as_json:
            typer.echo(json_line(fields_of(finding)))
        else:
            out.print(line_of(finding))
    if anything_wrong:
        raise typer.Exit(EXIT_FAILED)


def findings(only: Scope | None) -> Iterator[Finding]:
    """Asks AWS and judges the answers.

    Raises:
        SettingsError: if a setting that `run` needs is missing or wrong.
    """
    settings, aws = connect()
    settings.required_queue_url()
    if "kinesis" in settings.audit_sinks:
        settings.required_audit_stream()
    endpoints = aws_settings(settings).endpoints
    state = read_deployed_state(aws, settings, ask_identity=not endpoints or "sts" in endpoints)
    identity = state.identity
    caller = None if identity is None or isinstance(identity, AwsError) else identity.get("Arn")
    target = Target(aws.region, endpoints, caller)
    yield from judge_target(identity, target)
    if refused_everywhere(state):
        return
    if only is not Scope.PERMISSIONS:
        yield from judge_resources(settings, state, target)
    if only is not Scope.RESOURCES:
        yield from judge_permissions(try_permissions(aws, settings, state, target), target)


def fields_of(finding: Finding) -> dict[str, Any]:
    """The finding as `--json` gives it."""
    return {
        "verdict": finding.verdict.value,
        "subject": finding.subject,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def line_of(finding: Finding) -> Text:
    """The finding as one line."""
    mark, style = MARKS[finding.verdict]
    line = Text().append(f"{mark} ", style).append(f"{finding.subject}: {safe(finding.text)}")
    if finding.remedy is not None:
        line.append(" → ", style).append(safe(finding.remedy), "bold")
    return line
