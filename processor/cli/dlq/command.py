"""The command group `dlq`, with its commands `list` and `redrive`."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.cli.dlq.browser import Browser
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.drop import drop
from processor.cli.dlq.queue import (
    EVENT_OUTCOMES,
    OUT_OF_REACH,
    checked_outcomes,
    dlq_url,
    messages,
    report_out_of_reach,
)
from processor.cli.dlq.redrive import STAYS, Redrive, RedriveOptions, RedriveResult
from processor.cli.dlq.save import save
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import brief_seconds, console, json_line, plain, progress, shortened
from processor.cli.session import aws_errors, connect, ended_like_ctrl_c
from processor.cli.styles import OUTCOME_STYLES

_STYLES = {**OUTCOME_STYLES, QUARANTINED: "cyan"}
SHOWN_BODY_CHARS = 1_000  # for people; --json has all
_INDENT = " " * 6
_EXPLAINED = {
    RedriveResult.COPY_REMOVED: "more were copies of these, and were removed",
    RedriveResult.EXPIRED: "stay, expired: --include-expired sends them too",
    RedriveResult.AUDIT_ENTRY: "stay, quarantined audit entries: they are not events",
    RedriveResult.REJECTED_AGAIN: "stay, the same event would be rejected again: see --outcome and dlq drop",
    RedriveResult.NOT_ASKED_FOR: "stay, of other outcomes",
    RedriveResult.REFUSED: "stay, the event queue refuses them: see its maximum message size",
    RedriveResult.NOT_ACCEPTED: "stay, the event queue did not accept them this time: run this again",
    RedriveResult.NOT_REMOVED: "were sent, but are still here: sending them again is harmless",
    RedriveResult.CAME_BACK: "came back: rejected again",
}

dlq_app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@dlq_app.callback()
def dlq() -> None:
    """Look at the dead-letter queue; send back, save or remove what it holds."""


dlq_app.command()(save)
dlq_app.command()(drop)


@dlq_app.command("list")
def list_letters(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="how many to show at most")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each")] = False,
) -> None:
    """Show what was rejected and why, each message once, with masked URLs.

    The messages stay in the queue; other receivers do not see them while this runs. Of a FIFO queue it shows
    the first ten of each group.

    Example: export-status dlq list --json | jq -r 'select(.outcome == "invalid") | .reason'
    """
    settings, aws = connect()
    url = dlq_url(settings, aws)
    out = console()
    with (
        ended_like_ctrl_c(),
        aws_errors("the dead-letter queue"),
        Browser(aws.sqs(), url, limit=limit) as browser,
    ):
        for page in browser.pages():
            now = datetime.now(UTC)
            for letter in page:
                if as_json:
                    typer.echo(json_line(letter.fields(now)))
                else:
                    _show(out, letter, now)
    rest = "--limit shows more" if browser.seen == limit else OUT_OF_REACH
    if not report_out_of_reach(browser, rest) and not browser.seen:
        typer.echo("the dead-letter queue is empty", err=True)


@dlq_app.command()
def redrive(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, change nothing")] = False,
    outcome: Annotated[
        list[str] | None,
        typer.Option(metavar="OUTCOME", help=f"only these, may be repeated: {', '.join(EVENT_OUTCOMES)}"),
    ] = None,
    include_expired: Annotated[
        bool, typer.Option("--include-expired", help="send also events that can only end as expired")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Send rejected events back to the event queue.

    It sends the body with the producer's attributes, and copies of one message once. A message leaves the
    dead-letter queue only after the event queue has accepted it. What stays is counted: exit status 1.

    Expired events stay, quarantined audit entries, and without --outcome also `invalid` and `conflict`: the
    service would reject the same event again.

    Example: export-status dlq redrive --dry-run --outcome early
    """
    outcomes = checked_outcomes(outcome, EVENT_OUTCOMES)
    settings, aws = connect()
    queue_url = settings.required_queue_url()
    options = RedriveOptions(
        outcomes=outcomes,
        include_expired=include_expired,
        ttl_seconds=settings.ttl_seconds,
        fifo=queue_url.endswith(".fifo"),
    )
    url = dlq_url(settings, aws)
    with ended_like_ctrl_c(), aws_errors("the dead-letter queue"), Browser(aws.sqs(), url) as browser:
        redriving = Redrive(browser, aws.sqs(), queue_url, options, dry_run)
        try:
            with progress("looking" if dry_run else "sending back", browser.expected) as advance:
                for page in browser.pages():
                    redriving.take(page, datetime.now(UTC))
                    advance(browser.seen)
        finally:  # also after an interruption
            _report(redriving, as_json=as_json)
    report_out_of_reach(browser)
    if any(redriving.counts[result] for result in STAYS):
        raise typer.Exit(EXIT_FAILED)


def _show(out: Console, letter: DeadLetter, now: datetime) -> None:
    age = letter.age_seconds(now)
    head = Text(f"{'?' if age is None else brief_seconds(age):>4}  ")
    head.append(f"{plain(letter.outcome):<9}", _STYLES.get(letter.outcome, "yellow"))
    head.append(f"  {plain(letter.reason)}")
    out.print(head)
    out.print(Text(_INDENT + shortened(plain(letter.message.body), SHOWN_BODY_CHARS), "dim"))


def _report(redriving: Redrive, *, as_json: bool) -> None:
    counts = redriving.counts
    if as_json:
        fields = {result.value: counts[result] for result in RedriveResult}
        typer.echo(json_line({"dryRun": redriving.dry_run, **fields}))
        return
    would = "would send" if redriving.dry_run else "sent"
    typer.echo(f"{would} back {messages(counts[RedriveResult.SENT])}")
    for result, text in _EXPLAINED.items():
        if counts[result]:
            typer.echo(f"  {counts[result]} {text}")
