"""The finding of `check` for a call without an answer."""

from processor.aws.errors import AwsError, Misconfigured, Transient
from processor.cli.check.finding import Finding, unknown, wrong
from processor.cli.check.target import Target


def refused(error: AwsError, target: Target, service: str) -> bool:
    """Whether AWS refused the caller. An emulator may only lack the call."""
    forbidden = error.code.startswith("AccessDenied")
    return forbidden or (isinstance(error, Misconfigured) and not target.emulated(service))


def unread(subject: str, error: AwsError, target: Target, action: str, arn: str) -> Finding:
    """The finding for a thing that may exist but could not be described.

    Args:
        subject: the thing.
        error: the call's error; not NotFound.
        target: where the call went.
        action: the call's IAM action, such as `dynamodb:DescribeTable`.
        arn: the thing's ARN.
    """
    service = action.partition(":")[0]
    if isinstance(error, Transient):
        endpoint = target.endpoints.get(service)
        asked = f" at {endpoint}" if endpoint else ""
        return wrong(subject, f"no answer{asked} ({error})", "check the network, then run this again")
    if refused(error, target, service):
        return wrong(subject, f"no permission to look at it ({error})", target.allow((action,), arn))
    return unknown(subject, f"this server does not support the call ({error})")
