"""Shows the demo while it runs: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping
from itertools import islice
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.demo.board import Board
from processor.demo.observer import Change

_GLYPHS = {"pending": "○", "processing": "◐", "completed": "●", "failed": "✖"}
_LIFE_CELLS = 10
_MIN_ROWS, _MAX_ROWS = 3, 12
_FIXED_LINES = 15  # everything but the rows of exports
_TICKER_ROWS = 4
_FRAMES_PER_SECOND = 8


def display_for(board: Board, *, ttl_seconds: int, seed: int) -> "PlainDisplay | LiveDisplay":
    """The display that standard output can show."""
    console = Console(highlight=False, emoji=False, markup=False)
    utf8 = (console.encoding or "").lower().replace("-", "") == "utf8"
    if console.is_terminal and not console.is_dumb_terminal and utf8:
        return LiveDisplay(console, board, ttl_seconds=ttl_seconds, seed=seed)
    return PlainDisplay(console, board)


class PlainDisplay:
    """One line for each event, with the seconds since the start.

    Args:
        console: where to print.
        board: what happens.
    """

    def __init__(self, console: Console, board: Board) -> None:
        self._console = console
        self._board = board
        self._changes = 0
        self._entries = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Does nothing."""

    def phase(self, text: str) -> None:
        """Prints a line."""
        self._console.out(f"{time.monotonic() - self._began:5.1f} s  {text}".rstrip())

    def show(self) -> None:
        """Prints what has happened since the last call."""
        for change in self._board.changes[self._changes :]:
            self._changes += 1
            status = "expired" if change.removed else change.status
            self.phase(f"{change.item['requestId']}  {status:<10}  {change.item.get('fileName', '')}")
        for entry in islice([*self._board.audit_entries.values()], self._entries, None):
            self._entries += 1
            self.phase(f"{entry['requestId']}  audited     as {_end_of(entry)}")


class LiveDisplay(Live):
    """A table that fits the terminal and changes in place.

    Args:
        console: the terminal.
        board: what happens.
        ttl_seconds: for the title and the bars.
        seed: for the title.
    """

    def __init__(self, console: Console, board: Board, *, ttl_seconds: int, seed: int) -> None:
        self._board = board
        self._ttl_seconds = ttl_seconds
        self._seed = seed
        self._phase = ""
        self._began = time.monotonic()
        super().__init__(
            console=console,
            get_renderable=self.picture,
            refresh_per_second=_FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def phase(self, text: str) -> None:
        """Sets the second line."""
        self._phase = text

    def show(self) -> None:
        """Does nothing: the table changes by itself."""

    def picture(self) -> Group:
        """The present frame."""
        board, exports = self._board, self._board.exports
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        title = Text("export-status demo", "bold", no_wrap=True).append(
            f"   an export lives {self._ttl_seconds} s   seed {self._seed}   {minutes:02}:{seconds:02}",
            "not bold",
        )
        phase = Text(self._phase, style="italic", no_wrap=True, overflow="ellipsis")
        counts = Text(no_wrap=True)
        for status, style in STATUS_STYLES.items():
            count = sum(export.status == status and not export.removed for export in exports.values())
            counts.append(f"{_GLYPHS[status]} {status} {count:<3} ", style)
        counts.append(f"· expired {sum(export.removed for export in exports.values())}", "magenta")
        events = Text("events   ", "bold", no_wrap=True).append(
            f"{len(board.sent)}/{board.planned} sent, {board.dead_letters} dead-lettered", "not bold"
        )
        rows = max(_MIN_ROWS, min(_MAX_ROWS, self.console.height - _FIXED_LINES))
        table = self._table(exports, rows)
        outcomes = counted(board.outcomes, OUTCOME_STYLES)
        entries = _ticker(board.audit_entries)
        return Group(title, phase, Text(), counts, Text(), table, Text(), events, outcomes, Text(), *entries)

    def _table(self, exports: Mapping[str, Change], rows: int) -> Table:
        """The exports that changed last."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name, width in (("export", 16), ("status", 10), ("life left", _LIFE_CELLS + 5)):
            table.add_column(name, min_width=width, no_wrap=True)
        table.add_column("file", no_wrap=True, overflow="ellipsis")
        audited = self._board.audit_entries
        changed = dict.fromkeys(str(change.item["requestId"]) for change in reversed(self._board.changes))
        latest = [request_id for request_id in changed if request_id in exports][:rows]
        for request_id in latest:
            export = exports[request_id]
            style = STATUS_STYLES.get(export.status, "")
            left = max(0.0, int(export.item.get("ttl", 0)) - time.time())
            cells = min(_LIFE_CELLS, round(_LIFE_CELLS * left / self._ttl_seconds))
            life = (
                Text("█" * cells, style).append("░" * (_LIFE_CELLS - cells), "dim").append(f" {left:2.0f} s")
            )
            if export.removed:
                life = Text("expired", "magenta").append(", audited" if request_id in audited else "")
            file_name = str(export.item.get("fileName", ""))
            table.add_row(request_id, Text(export.status, style), life, file_name)
        for _ in range(rows - len(latest)):
            table.add_row("")
        return table


def counted(counts: Mapping[str, int], styles: Mapping[str, str]) -> Text:
    """The counts above 0 by name, in the order and colours of the styles."""
    text = Text(no_wrap=True)
    for name, style in styles.items():
        if counts.get(name):
            text.append(f"{name} {counts[name]}  ", style)
    return text


def _ticker(entries: Mapping[str, Mapping[str, Any]]) -> list[Text]:
    lines = [Text(f"audit log, {len(entries)} entries", "bold")]
    for request_id, entry in [*entries.items()][-_TICKER_ROWS:]:
        line = Text(f"{request_id}  ", no_wrap=True, overflow="ellipsis")
        style = STATUS_STYLES.get(str(entry.get("lastStatus")), "")
        lines.append(line.append(f"expired as {_end_of(entry)}", style))
    return lines + [Text()] * (_TICKER_ROWS + 1 - len(lines))


def _end_of(entry: Mapping[str, Any]) -> str:
    """At most 41 characters, for which a plain line has room."""
    unfinished = "" if entry.get("finished") else ", unfinished"
    return f"{entry.get('lastStatus')}{unfinished}, {entry.get('deletionLagSeconds')} s late"
