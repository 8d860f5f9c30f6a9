"""What the `dlq` commands share: the queue's URL, the outcomes, and notes about letters out of reach."""

from typing import TYPE_CHECKING, Any

import typer

from handlers.transitions import DISPOSITIONS, Disposition, Outcome
from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.aws.clients import Aws
from processor.aws.sqs import redrive_policy
from processor.cli.dlq.browser import Browser
from processor.cli.dlq.dead_letter import UNMARKED
from processor.cli.errors import CommandFailed
from processor.cli.session import aws_errors, retry, usage_error
from processor.settings import Settings
from processor.startup_checks import StartError, dead_letter_url

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

EVENT_OUTCOMES = (
    *(outcome.value for outcome in Outcome if DISPOSITIONS[outcome] is not Disposition.DELETE),
    UNMARKED,
)
"""Outcomes of letters that can be sent back; a quarantined audit entry cannot."""

LETTER_OUTCOMES = (*EVENT_OUTCOMES, QUARANTINED)
"""Outcomes of all letters."""

OUT_OF_REACH = "other receivers hold the rest, or it is behind ten of its FIFO group; try again"


def checked_outcomes(wanted: list[str] | None, allowed: tuple[str, ...]) -> frozenset[str]:
    """The values of `--outcome`.

    Raises:
        typer.Exit: with status 2 if one is not allowed.
    """
    found = frozenset(wanted or ())
    if found - set(allowed):
        raise usage_error(f"--outcome must be one of {', '.join(allowed)}")
    return found


def dlq_url(settings: Settings, aws: Aws) -> str:
    """The dead-letter queue's URL: the setting, else the queue that the event queue's redrive policy names.

    Raises:
        SettingsError: if there is neither.
        CommandFailed: if the event queue cannot be asked, or the queue that its policy names does not exist.
    """
    if settings.dlq_url is not None:
        return settings.dlq_url
    client: SQSClient = aws.sqs()
    with aws_errors("the event queue"):
        answer: Any = retry(
            client.get_queue_attributes,
            QueueUrl=settings.required_queue_url(),
            AttributeNames=["RedrivePolicy"],
        )
    try:
        policy = redrive_policy(answer.get("Attributes", {}))
        return dead_letter_url(client, None, policy.dead_letter_arn)
    except StartError as missing:
        raise CommandFailed(str(missing)) from None


def messages(count: int) -> str:
    """A number of messages in words."""
    return f"{count} message{'' if count == 1 else 's'}"


def report_out_of_reach(browser: Browser, rest: str = OUT_OF_REACH) -> bool:
    """Reports on standard error letters that the browser did not see.

    Args:
        browser: after its last page.
        rest: what to do about letters that were visible at the beginning.

    Returns:
        Whether there are such letters.
    """
    unseen = browser.seen < browser.expected
    if unseen:
        typer.echo(f"{browser.seen} of about {messages(browser.expected)} seen: {rest}", err=True)
    if browser.hidden:
        hidden = f"other receivers hold about {messages(browser.hidden)}, such as another `dlq list`"
        typer.echo(f"{hidden}; try again in a moment", err=True)
    return unseen or browser.hidden > 0
