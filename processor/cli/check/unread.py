"""What `check` says where a question was not answered."""

from processor.aws.errors import AwsError, Misconfigured, Transient
from processor.cli.check.finding import Finding, unknown, wrong
from processor.cli.check.target import Place


def refused(error: AwsError, place: Place, service: str) -> bool:
    """Whether AWS said no to the one who asks. An emulator may also just not know the call."""
    forbidden = error.code.startswith("AccessDenied")
    return forbidden or (isinstance(error, Misconfigured) and not place.emulated(service))


def unread(subject: str, error: AwsError, place: Place, action: str, arn: str) -> Finding:
    """The finding for a thing that could not be looked at, though it may be there.

    Args:
        subject: the thing.
        error: what came instead of an answer; not NotFound.
        place: where it was asked.
        action: the IAM action that looking takes, such as `dynamodb:DescribeTable`.
        arn: on what.
    """
    service = action.partition(":")[0]
    if isinstance(error, Transient):
        endpoint = place.endpoints.get(service)
        asked = f" at {endpoint}" if endpoint else ""
        return wrong(subject, f"no answer{asked} ({error})", "look at the network, then run this again")
    if refused(error, place, service):
        return wrong(subject, f"no permission to look at it ({error})", place.allow((action,), arn))
    return unknown(subject, f"this server cannot tell ({error})")
