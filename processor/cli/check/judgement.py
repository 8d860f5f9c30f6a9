"""Combines the findings: region, credentials, tables, queues and audit stream."""

from collections.abc import Iterator

from processor.aws.errors import AwsError, Misconfigured, NotFound
from processor.cli.check.deployed_state import Answer, DeployedState
from processor.cli.check.finding import Finding, fine, unknown, wrong
from processor.cli.check.queues import judge_queues
from processor.cli.check.tables import judge_leases_table, judge_status_table
from processor.cli.check.target import Target
from processor.cli.check.unread import unread
from processor.settings import Settings


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
        for answer in (state.identity, state.table, state.queue.attributes)
    )


def judge_resources(settings: Settings, state: DeployedState, target: Target) -> Iterator[Finding]:
    """The tables, the queues and the audit stream."""
    yield from judge_status_table(settings.table, state.table, target)
    yield from judge_leases_table(settings.leases_table, state.leases, target)
    yield from judge_queues(settings, state, target)
    if state.audit_stream is not None and settings.audit_stream is not None:
        yield _audit_stream(settings.audit_stream, state.audit_stream, target)


def _audit_stream(name: str, stream: Answer, target: Target) -> Finding:
    subject = f"audit stream {name}"
    if isinstance(stream, NotFound):
        words = ("--stream-name", name, "--stream-mode-details", "StreamMode=ON_DEMAND")
        return wrong(
            subject,
            "does not exist in this region and account",
            target.aws("kinesis", "create-stream", *words),
        )
    if isinstance(stream, AwsError):
        arn = target.arn("kinesis", f"stream/{name}")
        return unread(subject, stream, target, "kinesis:DescribeStreamSummary", arn)
    state = stream.get("StreamStatus")
    if state not in {"ACTIVE", "UPDATING"}:
        wait = target.aws("kinesis", "wait", "stream-exists", "--stream-name", name)
        return wrong(subject, f"is {state}", wait)
    return fine(subject, f"{state}, keeps entries for {stream.get('RetentionPeriodHours')} h")
