"""The command `dlq save`: writes dead letters to a file, and leaves them in the queue."""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, BinaryIO, Self

import typer

from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.queue import LetterOutcomes, browsing, messages, report_out_of_reach
from processor.cli.errors import EXIT_FAILED, CommandFailed
from processor.cli.event_lines import write_event_line
from processor.cli.output import json_line
from processor.cli.session import connect, usage_error


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
        lines = "".join(
            f"{write_event_line(each.outgoing(), each.notes(now))}\n" for each in letters
        ).encode()
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


def save(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="a new file; it gets mode 600")],
    outcome: LetterOutcomes = None,
    as_json: Annotated[bool, typer.Option("--json", help="the count as one JSON line")] = False,
) -> None:
    """Write dead letters to a new file, as JSON lines that `publish` reads; they stay in the queue.

    Bodies are complete, with their signed URLs: keep the file like a credential. The exit status is 1 if
    letters are out of reach, such as the eleventh of a FIFO group; `dlq drop --save` reaches those.

    Example: export-status dlq save letters.jsonl
    """
    settings, aws = connect()
    with browsing(settings, aws) as browser, SavedFile(file) as saved:

        def take(page: list[DeadLetter], now: datetime) -> None:
            saved.save([letter for letter in page if not outcome or letter.outcome in outcome], now)

        try:
            browser.visit("saving", take)
        finally:  # also after an interruption
            done = f"saved {messages(saved.saved)} to {file}"
            typer.echo(json_line({"saved": saved.saved}) if as_json else done)
    if report_out_of_reach(browser):
        raise typer.Exit(EXIT_FAILED)
