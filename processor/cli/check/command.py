"""The command `check`: compares what is deployed with what the service needs."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any

import typer
from rich.text import Text

from processor.aws.errors import AwsError
from processor.cli import EXIT_FAILED
from processor.cli.check.finding import Finding, Verdict
from processor.cli.check.judgement import judge_place, judge_resources, nothing_is_told
from processor.cli.check.permissions import judge_permissions, try_permissions
from processor.cli.check.probe import read_facts
from processor.cli.check.target import Place
from processor.cli.output import console, json_line, safe
from processor.cli.session import aws_settings, connect

MARKS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.FINE: ("✓", "green"),
    Verdict.WRONG: ("✗", "bold red"),
    Verdict.UNKNOWN: ("\N{EN DASH}", "dim"),
}


class Scope(Enum):
    """What can be checked alone: an operator may look at resources, the service's role may use them."""

    RESOURCES = "resources"
    PERMISSIONS = "permissions"


def check(
    *,
    only: Annotated[Scope | None, typer.Option(help="check one of the two alone")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each finding")] = False,
) -> None:
    """Compare tables, queues, streams and permissions with what the service needs. Nothing is changed.

    ✓ is as it should be; ✗ is wrong, and the command that mends it follows; a dash means that nobody can
    tell. The exit status is 1 if anything is wrong.

    The permissions tried are those of the one who runs this. With infra/iam/operator-policy.json use --only
    resources; with the task's role, --only permissions.

    Example: export-status check --json | jq -r 'select(.verdict == "wrong") | .mend'
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
    """Asks and judges.

    Raises:
        SettingsError: if a setting that `run` needs is missing or wrong.
    """
    settings, aws = connect()
    settings.required_queue_url()
    if "kinesis" in settings.audit_sinks:
        settings.required_audit_stream()
    endpoints = aws_settings(settings).endpoints
    facts = read_facts(aws, settings, ask_identity=not endpoints or "sts" in endpoints)
    identity = facts.identity
    caller = None if identity is None or isinstance(identity, AwsError) else identity.get("Arn")
    place = Place(aws.region, endpoints, caller)
    yield from judge_place(identity, place)
    if nothing_is_told(facts):
        return
    if only is not Scope.PERMISSIONS:
        yield from judge_resources(settings, facts, place)
    if only is not Scope.RESOURCES:
        yield from judge_permissions(try_permissions(aws, settings, facts, place), place)


def fields_of(finding: Finding) -> dict[str, Any]:
    """The finding as `--json` gives it."""
    return {
        "verdict": finding.verdict.value,
        "subject": finding.subject,
        "text": finding.text,
        "mend": finding.mend,
    }


def line_of(finding: Finding) -> Text:
    """The finding as one line."""
    mark, style = MARKS[finding.verdict]
    line = Text().append(f"{mark} ", style).append(f"{finding.subject}: {safe(finding.text)}")
    if finding.mend is not None:
        line.append(" → ", style).append(safe(finding.mend), "bold")
    return line
