"""Output of the commands: JSON lines for programs, safe text and progress bars for people."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from handlers.masking import mask_urls

_MAX_BRIEF_SECONDS = 1_000 * 86_400
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def json_line(fields: Mapping[str, Any]) -> str:
    """The fields as one line of JSON, in ASCII, which every terminal and locale can show."""
    return json.dumps(fields, separators=(",", ":"))


def masked(value: Any) -> Any:
    """A JSON value whose texts hold no secrets of URLs."""
    match value:
        case str():
            return mask_urls(value)
        case dict():
            return {mask_urls(key): masked(inner) for key, inner in value.items()}
        case list():
            return [masked(inner) for inner in value]
        case _:
            return value


def plain(text: str) -> str:
    """The text as a terminal may show it: safe, and its URLs without their secrets."""
    return safe(mask_urls(text))


def safe(text: str) -> str:
    """The text without characters that move the cursor, colour or hide others."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def shortened(text: str, chars: int) -> str:
    """The beginning of a long text, and how many characters are left out."""
    return text if len(text) <= chars else f"{text[:chars]}… ({len(text) - chars} characters more)"


def brief_seconds(seconds: float) -> str:
    """A duration in at most five characters, such as `45s`, `12m` or `3d`; negative ones count as 0 s."""
    if seconds >= _MAX_BRIEF_SECONDS:
        return ">999d"
    seconds = max(0.0, seconds)
    for size, unit in _UNITS:
        if seconds >= size * 2:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def console(*, stderr: bool = False, wrap: bool = False) -> Console:
    """A console that prints text without markup or highlighting, and honours NO_COLOR.

    Args:
        stderr: whether it writes to standard error.
        wrap: whether it breaks long lines; if not, the terminal does, and copied lines stay whole.
    """
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=not wrap)


def prepare_outputs() -> None:
    """Makes both outputs UTF-8 in every locale; output to a closed stream is discarded."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


@contextmanager
def progress(label: str | None, total: int | None) -> Iterator[Callable[[int], object]]:
    """A progress bar on standard error while the block runs, if that is a terminal.

    Args:
        label: what the command does; None: no bar, because the block writes lines to standard output.
        total: how many things there are; None if unknown.

    Yields:
        A function to call with the number done so far.
    """
    if label is None or not sys.stderr.isatty():
        yield lambda _done: None
        return
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True, wrap=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
