"""How a command ends: the exit statuses, and one line on standard error."""

import io
import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

from handlers.masking import mask_urls

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # as shells report Ctrl-C


class CommandFailed(Exception):
    """A command could not do its work; the message is one line with the reason. Exit status 1."""


def complain(problem: str) -> None:
    """Prints a problem as one line on standard error, its URLs without their secrets.

    Where standard error is closed or full, only the exit status reports the problem.
    """
    if sys.stderr is None:  # print would use standard output instead
        return
    try:
        print(f"export-status: {' '.join(mask_urls(problem).split())}", file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def leave(problem: str, status: int) -> NoReturn:
    """Prints a problem and ends the process.

    Args:
        problem: one line.
        status: the exit status.

    Raises:
        SystemExit: always.
    """
    complain(problem)
    sys.exit(status)


def discard(stream: TextIO) -> None:
    """Sends the rest of a stream to nowhere: its reader has gone, and the last flush must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def flush_what_fits(stream: TextIO) -> None:
    """Writes what a stream still holds as far as its reader takes it at once, and drops the rest.

    For the end of an interrupted command: the last flush would wait for a reader that stands still.
    """
    with suppress(io.UnsupportedOperation):  # no file: it is never waited for
        number = stream.fileno()
        os.set_blocking(number, False)
        try:
            stream.flush()
            is_flushed = True
        except OSError:
            is_flushed = False
        os.set_blocking(number, True)  # other processes may write to the same pipe
        if not is_flushed:
            discard(stream)
