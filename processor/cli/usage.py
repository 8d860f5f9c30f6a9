"""Turns a usage error of the command line's library into one clear sentence."""

import re

from typer.exceptions import TyperException

_INVALID_VALUE = re.compile(r"Invalid value for '([^']+)': (.+)", re.DOTALL)
_RULES = tuple(
    (re.compile(library, re.DOTALL), ours)
    for library, ours in (
        (r"Value error, .* is not one of ([^\n]+)", r"must be one of \1"),
        (r"Value error, (must [^\n]+)", r"\1"),
        (r"Input should be a valid integer.*", "must be a whole number"),
        (r"Input should be greater than or equal to (\d+)", r"must be at least \1"),
        (r"Input should be less than or equal to (\d+)", r"must be at most \1"),
    )
)
"""Messages of typer and pydantic about an option's value, and our wording of the rule. Ours leaves the value
out: it may be a credential."""


def usage_line(wrong: TyperException) -> str:
    """The problem, and the command whose --help lists what is possible."""
    context = getattr(wrong, "ctx", None)
    command = "export-status" if context is None else context.command_path
    return f"{_sentence(wrong.format_message())} (see {command} --help)"


def _sentence(message: str) -> str:
    message = message.rstrip(".")
    invalid = _INVALID_VALUE.fullmatch(message)
    if invalid is not None:
        name, problem = invalid.groups()
        for library, ours in _RULES:
            if found := library.fullmatch(problem):
                rule = found.expand(ours).replace("'", "")
                return f"{name} {rule}"
    return message
