"""A file of saved letters: JSON lines that `publish` reads, durable before a letter is deleted."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import BinaryIO, Self

from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.errors import CommandFailed
from processor.cli.event_lines import EventLine, write_event_line
from processor.cli.session import usage_error


class SavedFile:
    """A new file of mode 600, because bodies hold signed URLs; a context manager.

    At its end a file without letters is removed.

    Args:
        path: a path where nothing exists.

    Attributes:
        saved: how many letters are durable in the file.

    Raises:
        typer.Exit: with status 2 if the path exists or cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.saved = 0
        if path == "-":
            raise usage_error("FILE must be a file, because bodies hold signed URLs")
        self._path = path
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise usage_error(f"{path} exists already; name another file") from None
        except OSError as error:
            raise usage_error(f"{path} cannot be written: {error.strerror}") from None
        self._file: BinaryIO = os.fdopen(descriptor, "wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.saved:
            os.unlink(self._path)

    def save(self, letters: Sequence[DeadLetter], now: datetime) -> None:
        """Appends letters, and waits until the disk has them.

        Raises:
            CommandFailed: if that fails; the file then ends with the letters saved before.
        """
        lines = "".join(f"{_line(letter, now)}\n" for letter in letters).encode()
        end = self._file.tell()
        try:
            written = 0
            while written < len(lines):
                written += self._file.write(lines[written:]) or 0
            os.fsync(self._file.fileno())
        except OSError as failed:
            self._file.truncate(end)
            raise CommandFailed(f"{self._path} cannot be written: {failed.strerror}") from None
        self.saved += len(letters)


def _line(letter: DeadLetter, now: datetime) -> str:
    event = EventLine(letter.message.body, letter.attributes, letter.message.group_id, letter.trace_header)
    return write_event_line(event, letter.notes(now))
