"""The command `dlq drop`: removes dead letters, saved first where a file is named."""

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

import typer

from processor.cli.dlq.browser import Browser
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.queue import (
    LETTER_OUTCOMES,
    checked_outcomes,
    dlq_url,
    messages,
    report_out_of_reach,
)
from processor.cli.dlq.saved_file import SavedFile
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import json_line, plain, progress
from processor.cli.session import aws_errors, connect, ended_like_ctrl_c, usage_error


class DropResult(Enum):
    """The result for a letter; the values are the keys of `dlq drop --json`."""

    DROPPED = "dropped"
    NOT_REMOVED = "notRemoved"
    NOT_ASKED_FOR = "notAskedFor"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters to drop: those of an outcome and of an id. An empty set: any."""

    outcomes: frozenset[str]
    ids: frozenset[str]

    def includes(self, letter: DeadLetter) -> bool:
        """Whether a letter is to be dropped."""
        return (not self.outcomes or letter.outcome in self.outcomes) and (
            not self.ids or letter.message.message_id in self.ids
        )


@dataclass(slots=True)
class Drop:
    """Removes the selected letters page by page.

    Args:
        browser: the letters.
        selection: which to drop.
        saved: where to save a letter before it is removed; None: nowhere.
        dry_run: remove and save nothing; then the counts are what would happen.

    Attributes:
        counts: the results so far.
        missing: the selected ids that no letter had so far.
    """

    browser: Browser
    selection: Selection
    saved: SavedFile | None
    dry_run: bool
    counts: Counter[DropResult] = field(default_factory=Counter)
    missing: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.missing = set(self.selection.ids)

    def take(self, letters: list[DeadLetter], now: datetime) -> None:
        """Saves and removes the selected letters of a page.

        Raises:
            CommandFailed: if they cannot be saved; then none of them is removed.
        """
        chosen = [letter for letter in letters if self.selection.includes(letter)]
        self.counts[DropResult.NOT_ASKED_FOR] += len(letters) - len(chosen)
        self.missing -= {letter.message.message_id for letter in chosen}
        undone: set[str] = set()
        if chosen and not self.dry_run:
            if self.saved is not None:
                self.saved.save(chosen, now)
            undone = self.browser.delete(chosen)
        self.counts[DropResult.DROPPED] += len(chosen) - len(undone)
        self.counts[DropResult.NOT_REMOVED] += len(undone)


def drop(
    *,
    outcome: Annotated[
        list[str] | None,
        typer.Option(metavar="OUTCOME", help=f"these, may be repeated: {', '.join(LETTER_OUTCOMES)}"),
    ] = None,
    message_id: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="the messageId in `dlq list --json`, may be repeated"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all letters, whatever their outcome")] = False,
    save: Annotated[
        str | None, typer.Option(metavar="FILE", help="save each letter there first, as `dlq save` does")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, change nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Remove letters from the dead-letter queue: those of --outcome, of --id, or of both; or --all.

    With --save a letter is removed only after the disk has it. Without, it is gone for good. The exit status
    is 1 if a selected letter stays or an id is not there.

    Example: export-status dlq drop --outcome invalid --outcome conflict --save rejected.jsonl
    """
    selection = Selection(checked_outcomes(outcome, LETTER_OUTCOMES), frozenset(message_id or ()))
    if everything is bool(selection.outcomes or selection.ids):
        raise usage_error("dlq drop needs either --outcome, --id or both, or --all")
    settings, aws = connect()
    url = dlq_url(settings, aws)
    with (
        ended_like_ctrl_c(),
        aws_errors("the dead-letter queue"),
        Browser(aws.sqs(), url) as browser,
        nullcontext() if save is None or dry_run else SavedFile(save) as saved,
    ):
        dropping = Drop(browser, selection, saved, dry_run)
        try:
            with progress("looking" if dry_run else "dropping", browser.expected) as advance:
                for page in browser.pages():
                    dropping.take(page, datetime.now(UTC))
                    advance(browser.seen)
        finally:  # also after an interruption
            _report(dropping, as_json=as_json)
    found_all = bool(selection.ids) and not dropping.missing
    out_of_reach = not found_all and report_out_of_reach(browser)
    for each in sorted(dropping.missing):
        typer.echo(f"no letter has the id {plain(each)}", err=True)
    if out_of_reach or dropping.missing or dropping.counts[DropResult.NOT_REMOVED]:
        raise typer.Exit(EXIT_FAILED)


def _report(dropping: Drop, *, as_json: bool) -> None:
    counts, saved = dropping.counts, dropping.saved
    if as_json:
        fields = {result.value: counts[result] for result in DropResult}
        extra = {"saved": 0 if saved is None else saved.saved}
        typer.echo(json_line({"dryRun": dropping.dry_run, **fields, **extra}))
        return
    note = "" if saved is None else f", saved {messages(saved.saved)}"
    typer.echo(
        f"{'would drop' if dropping.dry_run else 'dropped'} {messages(counts[DropResult.DROPPED])}{note}"
    )
    if counts[DropResult.NOT_REMOVED]:
        typer.echo(f"  {counts[DropResult.NOT_REMOVED]} are still here: run this again")
    if counts[DropResult.NOT_ASKED_FOR]:
        typer.echo(f"  {counts[DropResult.NOT_ASKED_FOR]} stay, not asked for")
