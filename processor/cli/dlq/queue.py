"""What the `dlq` commands share: the queue's URL, the outcomes, and notes about letters out of reach."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from handlers.transitions import DISPOSITIONS, Disposition, Outcome
from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.aws.clients import Aws
from processor.aws.sqs import redrive_policy
from processor.cli.dlq.browser import Browser
from processor.cli.dlq.dead_letter import UNMARKED
from processor.cli.errors import CommandFailed
from processor.cli.session import aws_errors, retry
from processor.cli.signals import interrupt_on_signals
from processor.settings import Settings, SettingsError
from processor.startup_checks import ANOTHER_QUEUE, StartError, dead_letter_url


def outcome_option(allowed: Sequence[str]) -> Any:
    """The option `--outcome`, which takes these only."""

    def parse(outcome: str) -> str:
        if outcome not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return outcome

    shown = f"only these, may be repeated: {', '.join(allowed)}"
    return typer.Option(metavar="OUTCOME", parser=parse, help=shown)


EVENT_OUTCOMES = (
    *(outcome.value for outcome in Outcome if DISPOSITIONS[outcome] is not Disposition.DELETE),
    UNMARKED,
)
"""Outcomes of letters that can be sent back; a quarantined audit entry cannot."""

LETTER_OUTCOMES = (*EVENT_OUTCOMES, QUARANTINED)
"""Outcomes of all letters."""

EventOutcomes = Annotated[list[str] | None, outcome_option(EVENT_OUTCOMES)]
LetterOutcomes = Annotated[list[str] | None, outcome_option(LETTER_OUTCOMES)]

OUT_OF_REACH = "other receivers hold the rest, or it is behind ten of its FIFO group; try again"


@contextmanager
def browsing(settings: Settings, aws: Aws, limit: int | None = None) -> Iterator[Browser]:
    """One pass over the dead-letter queue. SIGTERM and SIGHUP end the block like Ctrl-C.

    Args:
        settings: the queues.
        aws: the clients.
        limit: how many letters to receive at most; None: all.

    Raises:
        SettingsError: if neither a setting nor a redrive policy names the queue.
        CommandFailed: if AWS refuses or does not answer.
    """
    interrupt_on_signals()
    url = dlq_url(settings, aws)
    with aws_errors("the dead-letter queue"), Browser(aws.sqs(), url, limit=limit) as browser:
        yield browser


def dlq_url(settings: Settings, aws: Aws) -> str:
    """The dead-letter queue's URL: the setting, else the queue that the event queue's redrive policy names.

    Raises:
        SettingsError: if there is neither, or it is the event queue.
        CommandFailed: if the event queue cannot be asked, or the queue that its policy names does not exist.
    """
    if settings.dlq_url is not None:
        if settings.dlq_url == settings.queue_url:
            raise SettingsError(ANOTHER_QUEUE)
        return settings.dlq_url
    ask, url = aws.sqs().get_queue_attributes, settings.required_queue_url()
    with aws_errors("the event queue"):
        answer: Any = retry(ask, QueueUrl=url, AttributeNames=["RedrivePolicy"])
    try:
        policy = redrive_policy(answer.get("Attributes", {}))
        return dead_letter_url(aws.sqs(), None, policy.dead_letter_arn)
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
    unseen = len(browser.seen) < browser.expected
    if unseen:
        typer.echo(f"{len(browser.seen)} of about {messages(browser.expected)} seen: {rest}", err=True)
    if browser.hidden:
        hidden = f"other receivers hold about {messages(browser.hidden)}, such as another `dlq list`"
        typer.echo(f"{hidden}; try again in a moment", err=True)
    return unseen or browser.hidden > 0
