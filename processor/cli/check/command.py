"""The command `check`, and how it prints findings."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Literal

import typer
from rich.text import Text

from processor.aws.errors import AwsError, Misconfigured, NotFound
from processor.cli.check.deployed_state import Answer, DeployedState, read_deployed_state
from processor.cli.check.finding import Finding, Verdict, fine, unknown, unread, wrong
from processor.cli.check.permissions import judge_permissions, try_permissions
from processor.cli.check.queues import judge_queues
from processor.cli.check.tables import judge_leases_table, judge_status_table
from processor.cli.check.target import Target
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import console, json_line, safe
from processor.cli.session import connect
from processor.settings import Settings, load_aws_settings

MARKS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.FINE: ("✓", "green"),
    Verdict.WRONG: ("✗", "bold red"),
    Verdict.UNKNOWN: ("\N{EN DASH}", "dim"),
}


Scope = Literal["resources", "permissions"]
"""The halves of a check: an operator may describe resources, the service's role may use them."""


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
            typer.echo(json_line({**asdict(finding), "verdict": finding.verdict.value}))
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
    found = load_aws_settings(settings)
    ask_identity = not found.endpoints or found.endpoint_url is not None
    state = read_deployed_state(aws, settings, ask_identity=ask_identity)
    identity = state.identity
    caller = None if identity is None or isinstance(identity, AwsError) else identity.get("Arn")
    target = Target(aws.region, found.endpoints, caller)
    yield from judge_target(identity, target)
    if refused_everywhere(state):
        return
    if only != "permissions":
        yield from judge_resources(settings, state, target)
    if only != "resources":
        yield from judge_permissions(try_permissions(aws, settings, state, target), target)


def line_of(finding: Finding) -> Text:
    """The finding as one line."""
    mark, style = MARKS[finding.verdict]
    line = Text().append(f"{mark} ", style).append(f"{finding.subject}: {safe(finding.text)}")
    if finding.remedy is not None:
        line.append(" → ", style).append(safe(finding.remedy), "bold")
    return line


def judge_target(identity: Answer | None, target: Target) -> Iterator[Finding]:
    """The region and the credentials."""
    yield fine("region", target.region)
    match identity:
        case None:
            yield unknown("credentials", "not asked for: STS is not at the endpoint of the other services")
        case Misconfigured():
            yield wrong("credentials", f"refused ({identity})", "aws sts get-caller-identity")
        case AwsError():
            yield unknown("credentials", f"STS does not answer ({identity})")
        case {"Arn": str(arn)}:
            yield fine("credentials", arn)
        case _:
            yield unknown("credentials", "the answer of STS has no ARN")


def refused_everywhere(state: DeployedState) -> bool:
    """Whether AWS refuses the caller everywhere, so that more findings would only repeat that."""
    return all(
        isinstance(answer, Misconfigured) and not isinstance(answer, NotFound)
        for answer in (state.identity, state.table, state.queue.error)
    )


def judge_resources(settings: Settings, state: DeployedState, target: Target) -> Iterator[Finding]:
    """The tables, the queues and the audit stream."""
    yield from judge_status_table(settings.table, state.table, state.ttl, state.backups, target)
    yield from judge_leases_table(settings.leases_table, state.leases, target)
    yield from judge_queues(settings, state.queue, state.dlq, target)
    if state.audit_stream is not None and settings.audit_stream is not None:
        yield _audit_stream(settings.audit_stream, state.audit_stream, target)


def _audit_stream(name: str, stream: Answer, target: Target) -> Finding:
    subject, words = f"audit stream {name}", ("--stream-name", name)
    if isinstance(stream, AwsError):
        on_demand = ("--stream-mode-details", "StreamMode=ON_DEMAND")
        create = target.aws("kinesis", "create-stream", *words, *on_demand)
        action = "kinesis:DescribeStreamSummary"
        return unread(subject, stream, target, action, f"stream/{name}", create=create)
    state = stream.get("StreamStatus")
    if state not in {"ACTIVE", "UPDATING"}:
        return wrong(subject, f"is {state}", target.aws("kinesis", "wait", "stream-exists", *words))
    return fine(subject, f"{state}, keeps entries for {stream.get('RetentionPeriodHours')} h")
