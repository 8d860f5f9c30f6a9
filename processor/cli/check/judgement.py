"""Puts the findings together: where we are, who we are, and every part of the service's world."""

from collections.abc import Iterator

from processor.aws.errors import AwsError, Misconfigured, NotFound
from processor.cli.check.finding import Finding, fine, unknown, wrong
from processor.cli.check.probe import Answer, Facts
from processor.cli.check.queues import judge_queues
from processor.cli.check.tables import judge_leases_table, judge_status_table
from processor.cli.check.target import Place
from processor.cli.check.unread import unread
from processor.settings import Settings


def judge_place(identity: Answer | None, place: Place) -> Iterator[Finding]:
    """The region and the credentials."""
    yield fine("region", place.region)
    match identity:
        case None:
            yield unknown("credentials", "not asked for: other services are elsewhere than STS")
        case Misconfigured():
            yield wrong("credentials", f"refused ({identity})", "aws sts get-caller-identity")
        case AwsError():
            yield unknown("credentials", f"STS does not answer ({identity})")
        case {"Arn": str(arn)}:
            yield fine("credentials", arn)
        case _:
            yield unknown("credentials", "STS does not say whose they are")


def nothing_is_told(facts: Facts) -> bool:
    """Whether AWS does not know us at all, so that more findings would only say the same again."""
    return all(
        isinstance(answer, Misconfigured) and not isinstance(answer, NotFound)
        for answer in (facts.identity, facts.table, facts.queue.attributes)
    )


def judge_resources(settings: Settings, facts: Facts, place: Place) -> Iterator[Finding]:
    """The tables, the queues and the audit stream."""
    yield from judge_status_table(settings.table, facts.table, place)
    yield from judge_leases_table(settings.leases_table, facts.leases, place)
    yield from judge_queues(settings, facts, place)
    if facts.audit_stream is not None and settings.audit_stream is not None:
        yield _audit_stream(settings.audit_stream, facts.audit_stream, place)


def _audit_stream(name: str, stream: Answer, place: Place) -> Finding:
    subject = f"audit stream {name}"
    if isinstance(stream, NotFound):
        words = ("--stream-name", name, "--stream-mode-details", "StreamMode=ON_DEMAND")
        return wrong(
            subject,
            "does not exist in this region and account",
            place.aws("kinesis", "create-stream", *words),
        )
    if isinstance(stream, AwsError):
        arn = place.arn("kinesis", f"stream/{name}")
        return unread(subject, stream, place, "kinesis:DescribeStreamSummary", arn)
    state = stream.get("StreamStatus")
    if state not in {"ACTIVE", "UPDATING"}:
        wait = place.aws("kinesis", "wait", "stream-exists", "--stream-name", name)
        return wrong(subject, f"is {state}", wait)
    return fine(subject, f"{state}, keeps entries for {stream.get('RetentionPeriodHours')} h")
