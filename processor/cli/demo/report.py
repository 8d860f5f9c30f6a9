"""Prints the demo's result: how the exports ended, and each check."""

from collections import Counter
from collections.abc import Mapping

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.demo.demonstration import Judgement

_MAX_EXAMPLES = 5
_TURNED_AWAY = {name: OUTCOME_STYLES[name] for name in ("expired", "conflict", "invalid")}
_KEPT = {name: style for name, style in OUTCOME_STYLES.items() if name not in _TURNED_AWAY}


def print_report(judgement: Judgement) -> None:
    """Prints the summary to standard output; readable at 80 columns, and without colours."""
    console = Console(highlight=False, emoji=False, markup=False)
    view = judgement.view
    ended = Counter(export.status for export in view.exports)
    unfinished = sum(not entry.get("finished") for entry in view.audit_entries)
    lags = [int(entry["deletionLagSeconds"]) for entry in view.audit_entries]
    rejections = Counter((each.outcome, each.reason) for each in judgement.rejections)

    summary = Table.grid(padding=(0, 2, 0, 0))
    summary.add_column(style="bold", no_wrap=True)
    summary.add_row("sent", Text(f"{view.sent} messages about {len(view.exports)} exports"))
    summary.add_row("ended as", _counted(ended, STATUS_STYLES))
    summary.add_row("", Text(f"{unfinished} never finished"))
    outcomes = Counter(view.outcomes)
    summary.add_row("outcomes", _counted(outcomes, _KEPT))
    summary.add_row("", _counted(outcomes, _TURNED_AWAY))
    if lags:
        span = " to ".join(str(lag) for lag in sorted({min(lags), max(lags)}))
        late = f"{span} s after their end; DynamoDB itself takes minutes to days"
        summary.add_row("deleted", Text(late))
    for number, ((outcome, reason), count) in enumerate(sorted(rejections.items())):
        line = Text.assemble(f"{count} x ", (outcome, OUTCOME_STYLES.get(outcome, "")), f": {reason}")
        summary.add_row("" if number else "dead letters", line)
    checks = Table.grid(padding=(0, 2, 0, 0))
    for check in judgement.checks:
        mark = Text("ok", "green") if check.passed else Text("FAILED", "bold red")
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
    if judgement.passed:
        console.print(Text("The demo passed.", "bold green"))
    else:
        failed = sum(not check.passed for check in judgement.checks)
        console.print(Text(f"The demo failed: {failed} of {len(judgement.checks)} checks.", "bold red"))


def _counted(counts: Counter[str], styles: Mapping[str, str]) -> Text:
    text = Text()
    for name, style in styles.items():
        if counts[name]:
            text.append(f"{name} {counts[name]}  ", style)
    return text
