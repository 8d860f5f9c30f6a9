"""The command `dlq drop`: removes dead letters, saved first where a file is named."""

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import Annotated

import typer

from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.queue import LetterOutcomes, browsing, messages, report_out_of_reach
from processor.cli.dlq.save import SavedFile
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import json_line, plain
from processor.cli.session import connect, usage_error


def drop(
    *,
    outcome: LetterOutcomes = None,
    message_id: Annotated[
        list[str] | None, typer.Option("--id", metavar="ID", help="as `dlq list --json` has it; repeatable")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all letters, whatever their outcome")] = False,
    save: Annotated[str | None, typer.Option(metavar="FILE", help="save each letter there first")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, change nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Remove letters from the dead-letter queue: those of --outcome, of --id, or of both; or --all.

    With --save a letter is removed only after the disk has it. Without, it is gone for good. The exit status
    is 1 if a selected letter stays or an id is not there.

    Example: export-status dlq drop --outcome invalid --outcome conflict --save rejected.jsonl
    """
    outcomes, ids = set(outcome or ()), set(message_id or ())
    if everything is bool(outcomes or ids):
        raise usage_error("dlq drop needs either --outcome, --id or both, or --all")
    settings, aws = connect()
    missing = set(ids)
    counts = Counter[str]()
    with (
        browsing(settings, aws) as browser,
        nullcontext() if save is None or dry_run else SavedFile(save) as saved,
    ):

        def take(page: list[DeadLetter], now: datetime) -> None:
            """Saves and removes the selected letters. If they cannot be saved, none of them is removed."""
            chosen = [
                letter
                for letter in page
                if (not outcomes or letter.outcome in outcomes)
                and (not ids or letter.message.message_id in ids)
            ]
            missing.difference_update(letter.message.message_id for letter in chosen)
            if saved is not None and chosen:
                saved.save(chosen, now)
            undone = browser.delete(chosen) if chosen and not dry_run else 0
            counts["dropped"] += len(chosen) - undone
            counts["notRemoved"] += undone
            counts["notAskedFor"] += len(page) - len(chosen)

        try:
            browser.visit("looking" if dry_run else "dropping", take)
        finally:  # also after an interruption
            done = {name: counts[name] for name in ("dropped", "notRemoved", "notAskedFor")}
            _report(done, dry_run, None if saved is None else saved.saved, as_json=as_json)
    out_of_reach = (not ids or missing) and report_out_of_reach(browser)
    for each in sorted(missing):
        typer.echo(f"no letter has the id {plain(each)}", err=True)
    if out_of_reach or missing or counts["notRemoved"]:
        raise typer.Exit(EXIT_FAILED)


def _report(counts: Mapping[str, int], dry_run: bool, saved: int | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line({"dryRun": dry_run, **counts, "saved": saved or 0}))
        return
    note = "" if saved is None else f", saved {messages(saved)}"
    typer.echo(f"{'would drop' if dry_run else 'dropped'} {messages(counts['dropped'])}{note}")
    if counts["notRemoved"]:
        typer.echo(f"  {counts['notRemoved']} are still here: run this again")
    if counts["notAskedFor"]:
        typer.echo(f"  {counts['notAskedFor']} stay, not asked for")
