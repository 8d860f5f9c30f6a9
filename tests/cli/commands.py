"""The commands of `export-status`, as they are built."""

from typing import Any

from typer import Context
from typer.core import TyperGroup


def options_of(command: Any, path: str = "") -> dict[str, set[str]]:
    """The long options of a command or, by their paths, of those below it."""
    if isinstance(command, TyperGroup):
        context = Context(command)
        below = {name: command.get_command(context, name) for name in command.list_commands(context)}
        found: dict[str, set[str]] = {}
        for name, each in below.items():
            found |= options_of(each, f"{path} {name}".strip())
        return found
    names = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    return {path: names - {"--help"}}
