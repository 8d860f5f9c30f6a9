"""The command `run`: the long-running consumer."""

import sys
from typing import Annotated, Literal

import typer

from processor.cli.errors import CommandFailed
from processor.observability.log import configure_logging
from processor.service import run_service
from processor.settings import load_settings
from processor.startup_checks import StartError


def run(
    *,
    only: Annotated[Literal["transitions", "audit"] | None, typer.Option(help="run one half alone")] = None,
) -> None:
    """Apply events from the queue to the table, and audit what leaves it, until SIGTERM or Ctrl-C.

    The first signal starts the drain, which ends with exit status 0; a second signal ends the process at
    once. Logs, audit lines and metrics go to standard output, one JSON line each.

    Example: export-status run --only transitions
    """
    settings = load_settings()
    log_format = settings.log_format or ("console" if sys.stdout.isatty() else "json")
    configure_logging(settings.log_level, log_format)
    parts = (only,) if only else ("transitions", "audit")
    try:
        status = run_service(settings, parts)
    except StartError as missing:
        raise CommandFailed(str(missing)) from None
    raise typer.Exit(status)
