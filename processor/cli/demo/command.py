"""The command `demo`: the whole system on one machine, from the first event to the last audit entry."""

from collections import Counter
from threading import Event
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.aws.errors import AwsError
from processor.cli.demo.display import counted, display_for
from processor.cli.errors import CommandFailed
from processor.cli.signals import interrupt_on_signals
from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.demo.board import Board
from processor.demo.demonstration import Demonstration, DemonstrationError
from processor.demo.scenario import MIN_TTL_SECONDS
from processor.demo.service_process import ServiceProcessError
from processor.demo.verdict import Verdict
from processor.localaws.embedded_aws import EmbeddedAwsError
from processor.settings import MAX_TTL_SECONDS

FRAME_SECONDS = 0.1
_MAX_EXAMPLES = 5
_TURNED_AWAY = {name: OUTCOME_STYLES[name] for name in ("expired", "conflict", "invalid")}
_KEPT = {name: style for name, style in OUTCOME_STYLES.items() if name not in _TURNED_AWAY}


def demo(
    *,
    exports: Annotated[int, typer.Option(metavar="N", min=1, max=2_000, help="how many exports")] = 50,
    ttl_seconds: Annotated[
        int,
        typer.Option(
            metavar="S",
            min=MIN_TTL_SECONDS,
            max=MAX_TTL_SECONDS,
            help="how long an export lives after its request",
        ),
    ] = 12,
    seed: Annotated[int, typer.Option(metavar="K", help="the seed of all random choices")] = 1,
) -> None:
    """Show everything at work: exports live, expire and are audited. No AWS account, no network.

    The real service runs against an AWS emulated on 127.0.0.1. Producers send what they send in practice:
    failures, exports that never finish, events out of order, repeats, contradictions, garbage. At the end the
    demo compares the results with the list of sent events: exit status 0, or 1 if they differ.

    Example: export-status demo --exports 100 --seed 7
    """
    interrupt_on_signals()
    demonstration = Demonstration(exports=exports, ttl_seconds=ttl_seconds, seed=seed)
    display = display_for(demonstration.board, ttl_seconds=ttl_seconds, seed=seed)
    pause = Event()
    try:
        with demonstration, display:
            demonstration.start(display.phase)
            while not demonstration.is_over():
                display.show()
                pause.wait(FRAME_SECONDS)
            display.show()
            display.phase("stopping the service with SIGTERM, and comparing with what was sent")
            verdict = demonstration.judge()
            display.show()
    except AwsError as failure:
        raise CommandFailed(f"the embedded AWS does not answer ({failure})") from None
    except (EmbeddedAwsError, ServiceProcessError, DemonstrationError) as failure:
        raise CommandFailed(str(failure)) from None
    print_report(demonstration.board, verdict)
    raise typer.Exit(1 if verdict.failed else 0)


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
