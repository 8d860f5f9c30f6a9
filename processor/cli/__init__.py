"""The command line: one module a command, imported when the command is used.

Exit status: 0 fine, 1 failed, 2 wrong usage or settings (contract section 6); 130 interrupted, as shells
report Ctrl-C. Errors are one line on standard error.
"""

import importlib
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command as click_command_of

from handlers.masking import mask_urls
from processor.cli.usage import usage_line
from processor.settings import SettingsError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# Importing them all would cost every health check a second of CPU.
_COMMANDS = {
    "run": "run:run",
    "local": "local:local",
    "demo": "demo.command:demo",
    "check": "check.command:check",
    "publish": "publish:publish",
    "get": "get:get",
    "list": "list:list_exports",
    "audit": "audit.command:audit_app",
    "dlq": "dlq.command:dlq_app",
    "schema": "schema:schema_app",
    "healthcheck": "healthcheck:healthcheck",
}


class CommandFailed(Exception):
    """A command could not do its work; the message is the one line that says why. Exit status 1."""


class _LazyGroup(TyperGroup):
    """Knows its commands by name and imports a command's module when it is asked for it."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        return [*_COMMANDS]  # `list` is the module of a command here, once that is imported

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module_name, attribute = _COMMANDS[cmd_name].split(":")
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
    """The entry point: runs a command and turns what it raises into one line and an exit status."""
    try:
        sys.exit(app(standalone_mode=False, prog_name="export-status") or 0)
    except TyperException as wrong:
        if not wrong.format_message().strip():  # no command was named: its help has been shown instead
            sys.exit(wrong.exit_code)
        _leave(usage_line(wrong), wrong.exit_code)
    except typer.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except SettingsError as wrong:
        _leave(str(wrong), EXIT_USAGE)
    except CommandFailed as failed:
        _leave(str(failed), EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        _forget(sys.stdout)
        sys.exit(EXIT_FAILED)
    except OSError as failed:  # a full disk behind standard output
        _forget(sys.stdout)
        _leave(f"input or output failed: {failed.strerror or type(failed).__name__}", EXIT_FAILED)


def complain(problem: str) -> None:
    """Says what is wrong as one line on standard error, its URLs without their secrets.

    Where standard error is closed or full, the exit status alone says it.
    """
    if sys.stderr is None:  # print would take standard output instead
        return
    try:
        print(f"export-status: {' '.join(mask_urls(problem).split())}", file=sys.stderr, flush=True)
    except OSError:
        _forget(sys.stderr)


def _leave(problem: str, status: int) -> None:
    complain(problem)
    sys.exit(status)


def _forget(stream: TextIO) -> None:
    """Who should have taken our output does not; the interpreter must not fail once more while it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
