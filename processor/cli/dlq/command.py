"""The command group `dlq`, with its command `list`."""

from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.drop import drop
from processor.cli.dlq.queue import OUT_OF_REACH, browsing, report_out_of_reach
from processor.cli.dlq.redrive import redrive
from processor.cli.dlq.save import save
from processor.cli.output import brief_seconds, console, json_line, plain, shortened
from processor.cli.session import connect
from processor.cli.styles import OUTCOME_STYLES

_STYLES = {**OUTCOME_STYLES, QUARANTINED: "cyan"}
SHOWN_BODY_CHARS = 1_000  # for people; --json has all
_INDENT = " " * 6

dlq_app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@dlq_app.callback()
def dlq() -> None:
    """Look at the dead-letter queue; send back, save or remove what it holds."""


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
    out = console()

    def show(page: list[DeadLetter], now: datetime) -> None:
        for letter in page:
            if as_json:
                typer.echo(json_line(letter.fields(now)))
                continue
            age = letter.age_seconds(now)
            head = Text(f"{'?' if age is None else brief_seconds(age):>4}  ")
            head.append(f"{plain(letter.outcome):<9}", _STYLES.get(letter.outcome, "yellow"))
            out.print(head.append(f"  {plain(letter.reason)}"))
            out.print(Text(_INDENT + shortened(plain(letter.message.body), SHOWN_BODY_CHARS), "dim"))

    with browsing(settings, aws, limit) as browser:
        browser.visit(None, show)
    rest = "--limit shows more" if len(browser.seen) == limit else OUT_OF_REACH
    if not report_out_of_reach(browser, rest) and not browser.seen:
        typer.echo("the dead-letter queue is empty", err=True)


for command in (redrive, save, drop):
    dlq_app.command()(command)
