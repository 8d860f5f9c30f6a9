"""The entry point: finds the command, runs it, and turns errors into an exit status."""

import importlib
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command as click_command_of

from processor.cli.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    CommandFailed,
    discard,
    flush_what_fits,
    leave,
)
from processor.cli.usage import usage_line
from processor.settings import SettingsError

# Importing all of them would cost every health check a second of CPU.
COMMANDS = {
    "run": "run:run",
    "local": "local:local",
    "demo": "demo.command:demo",
    "check": "check.command:check",
    "publish": "publish:publish",
    "probe": "probe:probe",
    "why": "why.command:why",
    "get": "get:get",
    "list": "list:list_exports",
    "audit": "audit.command:audit_app",
    "dlq": "dlq.command:dlq_app",
    "schema": "schema:schema_app",
    "healthcheck": "healthcheck:healthcheck",
}
"""Module and attribute of each command."""


class _LazyGroup(TyperGroup):
    """Imports the module of a command only when that command is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module_name, attribute = COMMANDS[cmd_name].split(":")
        found = getattr(importlib.import_module(f"processor.cli.{module_name}"), attribute)
        if not isinstance(found, typer.Typer):
            command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            command.command(cmd_name)(found)
            found = command
        built = click_command_of(found)
        built.name = cmd_name
        return built


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings come from the environment or .env; the README lists them.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"export-status {version('export-status')}")
        raise typer.Exit


@app.callback()
def export_status(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Apply export events to the status table, and audit what expires from it."""


def main() -> None:
    """Runs a command; what it raises becomes one line on standard error and an exit status.

    The statuses are those of docs/contract.md, section 6: 0 fine, 1 failed, 2 wrong usage or settings, 130
    interrupted.
    """
    try:
        status = app(standalone_mode=False, prog_name="export-status") or 0
    except TyperException as wrong:
        if not wrong.format_message().strip():  # no command was named; the help is shown
            sys.exit(wrong.exit_code)
        leave(usage_line(wrong), wrong.exit_code)
    except SettingsError as wrong:
        leave(str(wrong), EXIT_USAGE)
    except CommandFailed as failed:
        leave(str(failed), EXIT_FAILED)
    except (KeyboardInterrupt, typer.Abort):
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(EXIT_FAILED)
    except OSError as failed:  # a full disk behind standard output
        discard(sys.stdout)
        leave(f"input or output failed: {failed.strerror or type(failed).__name__}", EXIT_FAILED)
    if status == EXIT_INTERRUPTED:
        flush_what_fits(sys.stdout)
    sys.exit(status)
