"""One line of `check`: a thing, its state, and a remedy."""

from dataclasses import dataclass
from enum import Enum

from processor.aws.errors import AwsError, Misconfigured, NotFound, Transient
from processor.cli.check.target import Target


class Verdict(Enum):
    """The result of a check; the values are those of `check --json`."""

    FINE = "fine"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # the server does not answer this, or asking would do harm


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        verdict: fine, wrong or unknown.
        subject: the thing.
        text: its state.
        remedy: a command; where no command helps, a sentence.
    """

    verdict: Verdict
    subject: str
    text: str
    remedy: str | None = None


def fine(subject: str, text: str) -> Finding:
    """The finding for a thing that is right."""
    return Finding(Verdict.FINE, subject, text)


def wrong(subject: str, text: str, remedy: str) -> Finding:
    """The finding for a thing that the service cannot use."""
    return Finding(Verdict.WRONG, subject, text, remedy)


def unknown(subject: str, text: str) -> Finding:
    """The finding for a thing whose state is not known."""
    return Finding(Verdict.UNKNOWN, subject, text)


def unread(
    subject: str, error: AwsError, target: Target, action: str, resource: str, *, create: str = ""
) -> Finding:
    """The finding for a thing that could not be described.

    Args:
        subject: the thing.
        error: the call's error.
        target: where the call went.
        action: the call's IAM action, such as `dynamodb:DescribeTable`.
        resource: the thing as its ARN has it, such as `table/export-status`.
        create: the command that makes it.
    """
    service = action.partition(":")[0]
    if create and isinstance(error, NotFound):
        return wrong(subject, "does not exist in this region and account", create)
    if isinstance(error, Transient):
        endpoint = target.endpoints.get(service)
        asked = f" at {endpoint}" if endpoint else ""
        return wrong(subject, f"no answer{asked} ({error})", "check the network, then run this again")
    if refused(error, target, service):
        remedy = target.allow((action,), target.arn(service, resource))
        return wrong(subject, f"no permission to look at it ({error})", remedy)
    return unknown(subject, f"this server does not support the call ({error})")


def refused(error: AwsError, target: Target, service: str) -> bool:
    """Whether AWS refused the caller. An emulator may only lack the call."""
    forbidden = error.code.startswith("AccessDenied")
    return forbidden or (isinstance(error, Misconfigured) and not target.emulated(service))
