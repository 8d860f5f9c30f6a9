"""Combines the findings: region, credentials, tables, queues and audit stream."""

from collections.abc import Iterator

from processor.aws.errors import AwsError, Misconfigured, NotFound
from processor.cli.check.deployed_state import Answer, DeployedState
from processor.cli.check.finding import Finding, fine, unknown, unread, wrong
from processor.cli.check.queues import judge_queues
from processor.cli.check.tables import judge_leases_table, judge_status_table
from processor.cli.check.target import Target
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
        for answer in (state.identity, state.table, state.queue.error)
    )


def judge_resources(settings: Settings, state: DeployedState, target: Target) -> Iterator[Finding]:
    """The tables, the queues and the audit stream."""
    yield from judge_status_table(settings.table, state, target)
    yield from judge_leases_table(settings.leases_table, state.leases, target)
    yield from judge_queues(settings, state, target)
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
