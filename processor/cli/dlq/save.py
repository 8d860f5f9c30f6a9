"""The command `dlq save`: writes dead letters to a file, and leaves them in the queue."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from processor.cli.dlq.browser import Browser
from processor.cli.dlq.queue import (
    LETTER_OUTCOMES,
    checked_outcomes,
    dlq_url,
    messages,
    report_out_of_reach,
)
from processor.cli.dlq.saved_file import SavedFile
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import json_line, progress
from processor.cli.session import aws_errors, connect, ended_like_ctrl_c


def save(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="a new file; it gets mode 600")],
    outcome: Annotated[
        list[str] | None,
        typer.Option(metavar="OUTCOME", help=f"only these, may be repeated: {', '.join(LETTER_OUTCOMES)}"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the count as one JSON line")] = False,
) -> None:
    """Write dead letters to a new file, as JSON lines that `publish` reads; they stay in the queue.

    Bodies are complete, with their signed URLs: keep the file like a credential. The exit status is 1 if
    letters are out of reach, such as the eleventh of a FIFO group; `dlq drop --save` reaches those.

    Example: export-status dlq save letters.jsonl
    """
    outcomes = checked_outcomes(outcome, LETTER_OUTCOMES)
    settings, aws = connect()
    url = dlq_url(settings, aws)
    with (
        ended_like_ctrl_c(),
        aws_errors("the dead-letter queue"),
        Browser(aws.sqs(), url) as browser,
        SavedFile(file) as saved,
    ):
        try:
            with progress("saving", browser.expected) as advance:
                for page in browser.pages():
                    wanted = [letter for letter in page if not outcomes or letter.outcome in outcomes]
                    saved.save(wanted, datetime.now(UTC))
                    advance(browser.seen)
        finally:  # also after an interruption
            if as_json:
                typer.echo(json_line({"saved": saved.saved}))
            else:
                typer.echo(f"saved {messages(saved.saved)} to {file}")
    if report_out_of_reach(browser):
        raise typer.Exit(EXIT_FAILED)
