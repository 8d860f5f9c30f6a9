"""Prints the demo's result: how the exports ended, and each check."""

from collections import Counter

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.cli.demo.display import counted
from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.demo.board import Board
from processor.demo.verdict import Verdict

_MAX_EXAMPLES = 5
_TURNED_AWAY = {name: OUTCOME_STYLES[name] for name in ("expired", "conflict", "invalid")}
_KEPT = {name: style for name, style in OUTCOME_STYLES.items() if name not in _TURNED_AWAY}


def print_report(board: Board, verdict: Verdict) -> None:
    """Prints the summary to standard output; readable at 80 columns, and without colours."""
    console = Console(highlight=False, emoji=False, markup=False)
    entries = board.audit_entries.values()
    unfinished = sum(not entry.get("finished") for entry in entries)
    lags = {int(entry["deletionLagSeconds"]) for entry in entries}
    summary = Table.grid(padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_row("sent", f"{len(board.sent)} messages about {len(board.exports)} exports")
    ended = Counter(export.status for export in board.exports.values())
    summary.add_row("ended as", counted(ended, STATUS_STYLES))
    summary.add_row("", f"{unfinished} never finished")
    summary.add_row("outcomes", counted(board.outcomes, _KEPT))
    summary.add_row("", counted(board.outcomes, _TURNED_AWAY))
    if lags:
        span = " to ".join(str(lag) for lag in sorted({min(lags), max(lags)}))
        summary.add_row("deleted", f"{span} s after their end; DynamoDB itself takes minutes to days")
    label = "dead letters"
    for each, count in sorted(Counter(each[1:] for each in board.rejections).items()):
        outcome, reason = each
        summary.add_row(
            label, Text(f"{count} x ").append(outcome, OUTCOME_STYLES.get(outcome, "")) + f": {reason}"
        )
        label = ""
    checks = Table.grid(padding=(0, 2, 0, 0))
    for check in verdict.checks:
        mark = Text("FAILED", "bold red") if check.failures else Text("ok", "green")
        checks.add_row(mark, check.statement)
        for failure in check.failures[:_MAX_EXAMPLES]:
            checks.add_row("", failure)
        if len(check.failures) > _MAX_EXAMPLES:
            checks.add_row("", f"and {len(check.failures) - _MAX_EXAMPLES} more")
    with console.capture() as capture:
        for part in ("", summary, "", checks, ""):
            console.print(part)
    # rich fills every line of a table with spaces up to its width.
    typer.echo("\n".join(line.rstrip() for line in capture.get().split("\n")), nl=False)
    if verdict.uncertain:
        console.print(
            f"Not judged: {verdict.uncertain} exports, of which an event was handled after their end."
        )
    if verdict.failed:
        console.print(Text(f"The demo failed: {verdict.failed} of {len(verdict.checks)} checks.", "bold red"))
    else:
        console.print(Text("The demo passed.", "bold green"))
