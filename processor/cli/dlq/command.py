"""The command group `dlq`: what was rejected and why, and the way back."""

from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from handlers.transitions import DISPOSITIONS, Disposition, Outcome
from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.aws.clients import Aws
from processor.aws.sqs import redrive_policy
from processor.cli import EXIT_FAILED, CommandFailed
from processor.cli.dlq.browser import Walk
from processor.cli.dlq.letters import UNMARKED, Letter
from processor.cli.dlq.redrive import STAYS, Fate, Redrive, RedriveOptions
from processor.cli.output import brief_seconds, console, json_line, plain, progress, shortened
from processor.cli.session import aws_errors, connect, ended_like_ctrl_c, patiently, usage_error
from processor.cli.styles import OUTCOME_STYLES
from processor.settings import Settings
from processor.startup_checks import StartError, dead_letter_url

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

OUTCOMES = (
    *(outcome.value for outcome in Outcome if DISPOSITIONS[outcome] is not Disposition.DELETE),
    UNMARKED,
)
"""What the letters that can go back are marked with; a refused audit entry cannot."""

_STYLES = {**OUTCOME_STYLES, QUARANTINED: "cyan"}
SHOWN_BODY_CHARS = 1_000  # for people; --json has all
_INDENT = " " * 6
_OUT_OF_REACH = "the others are in somebody's hands, or behind ten of their FIFO group; try again"
_EXPLAINED = {
    Fate.COPY_REMOVED: "more were copies of these, and are removed",
    Fate.EXPIRED: "stay, expired: --include-expired sends them too",
    Fate.AUDIT_ENTRY: "stay, refused audit entries: they are no events",
    Fate.NOT_ASKED_FOR: "stay, of other outcomes",
    Fate.REFUSED: "stay, the event queue refuses them: see its maximum message size",
    Fate.NOT_TAKEN: "stay, the event queue did not take them this time: run this again",
    Fate.NOT_REMOVED: "were sent, but are still here: sending them once more is harmless",
    Fate.CAME_BACK: "are here again: rejected once more",
}

dlq_app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@dlq_app.callback()
def dlq() -> None:
    """Look at the dead-letter queue, and send back what it holds."""


@dlq_app.command("list")
def list_letters(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="how many to show at most")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each")] = False,
) -> None:
    """Show what was rejected and why, each message once, URLs in bodies without their secrets.

    The messages stay as they are: they are hidden from others while this runs, and visible again after it.
    Of a FIFO queue it shows the first ten of each group.

    Example: export-status dlq list --json | jq -r 'select(.outcome == "invalid") | .reason'
    """
    settings, aws = connect()
    url = dlq_url(settings, aws)
    out = console()
    with (
        ended_like_ctrl_c(),
        aws_errors("the dead-letter queue"),
        Walk(aws.sqs(), url, limit=limit) as walk,
    ):
        for page in walk.pages():
            now = datetime.now(UTC)
            for letter in page:
                if as_json:
                    typer.echo(json_line(letter.fields(now)))
                else:
                    _show(out, letter, now)
    if walk.seen < walk.expected:
        rest = "--limit shows more" if walk.seen == limit else _OUT_OF_REACH
        typer.echo(f"{walk.seen} of about {_messages(walk.expected)}: {rest}", err=True)
    elif not walk.seen and not walk.hidden:
        typer.echo("the dead-letter queue is empty", err=True)
    _tell_hidden(walk)


@dlq_app.command()
def redrive(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, change nothing")] = False,
    outcome: Annotated[
        list[str] | None,
        typer.Option(metavar="OUTCOME", help=f"only these, may be repeated: {', '.join(OUTCOMES)}"),
    ] = None,
    include_expired: Annotated[
        bool, typer.Option("--include-expired", help="send also events that can only end as expired")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Send rejected events back to the event queue.

    Only the body goes back, copies of one message go once, and a message leaves the dead-letter queue only
    after the event queue has taken it. Expired events stay, and audit entries, which are no events: they are
    counted, and the exit status is 1.

    Example: export-status dlq redrive --dry-run --outcome early
    """
    wrong = sorted(set(outcome or ()) - set(OUTCOMES))
    if wrong:
        raise usage_error(f"--outcome must be one of {', '.join(OUTCOMES)}")
    settings, aws = connect()
    queue_url = settings.required_queue_url()
    options = RedriveOptions(
        outcomes=frozenset(outcome or ()),
        include_expired=include_expired,
        ttl_seconds=settings.ttl_seconds,
        fifo=queue_url.endswith(".fifo"),
    )
    url = dlq_url(settings, aws)
    with ended_like_ctrl_c(), aws_errors("the dead-letter queue"), Walk(aws.sqs(), url) as walk:
        redriving = Redrive(walk, aws.sqs(), queue_url, options, dry_run)
        try:
            with progress("looking" if dry_run else "sending back", walk.expected) as advance:
                for page in walk.pages():
                    redriving.take(page, datetime.now(UTC))
                    advance(walk.seen)
        finally:  # also of what was interrupted
            _report(redriving, as_json=as_json)
    if walk.seen < walk.expected:
        typer.echo(f"{walk.seen} of about {_messages(walk.expected)} seen: {_OUT_OF_REACH}", err=True)
    _tell_hidden(walk)
    if any(redriving.counts[fate] for fate in STAYS):
        raise typer.Exit(EXIT_FAILED)


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
        answer: Any = patiently(
            client.get_queue_attributes,
            QueueUrl=settings.required_queue_url(),
            AttributeNames=["RedrivePolicy"],
        )
    one_try = Event()
    one_try.set()
    try:
        policy = redrive_policy(answer.get("Attributes", {}))
        return dead_letter_url(client, None, policy.dead_letter_arn, one_try)
    except StartError as missing:
        raise CommandFailed(str(missing)) from None


def _show(out: Console, letter: Letter, now: datetime) -> None:
    age = letter.age_seconds(now)
    head = Text(f"{'?' if age is None else brief_seconds(age):>4}  ")
    head.append(f"{plain(letter.outcome):<9}", _STYLES.get(letter.outcome, "yellow"))
    head.append(f"  {plain(letter.reason)}")
    out.print(head)
    out.print(Text(_INDENT + shortened(plain(letter.message.body), SHOWN_BODY_CHARS), "dim"))


def _report(redriving: Redrive, *, as_json: bool) -> None:
    counts = redriving.counts
    if as_json:
        fields = {fate.value: counts[fate] for fate in Fate}
        typer.echo(json_line({"dryRun": redriving.dry_run, **fields}))
        return
    would = "would send" if redriving.dry_run else "sent"
    typer.echo(f"{would} back {_messages(counts[Fate.SENT])}")
    for fate, text in _EXPLAINED.items():
        if counts[fate]:
            typer.echo(f"  {counts[fate]} {text}")


def _tell_hidden(walk: Walk) -> None:
    if walk.hidden:
        hidden = f"about {_messages(walk.hidden)} in somebody's hands, such as another `dlq list`'s"
        typer.echo(f"{hidden}; they come back: try again in a moment", err=True)


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"
