"""The commands of `export-status` as they are built, and what one leaves behind."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typer import Context
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output."""
        return self.out.splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The objects of its lines of JSON."""
        return [json.loads(line) for line in self.lines]


Command = Callable[..., Ran]


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
