"""Shows the demo while it runs: a live table on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.demo.board import ExportView, View

_GLYPHS = {"pending": "○", "processing": "◐", "completed": "●", "failed": "✖"}
_GONE, _GONE_AND_AUDITED = "◌", "·"
_BARS = " ▁▂▃▄▅▆▇█"
_LIFE_CELLS = 10
_GRID_ROWS = 3
_MIN_ROWS, _MAX_ROWS = 3, 12
_FIXED_LINES = 15  # everything but the grid and the rows of exports
_TICKER_ROWS = 4
_FRAMES_PER_SECOND = 8


def display_for(*, ttl_seconds: int, seed: int) -> "PlainDisplay | LiveDisplay":
    """The display that standard output can show."""
    console = Console(highlight=False, emoji=False, markup=False)
    utf8 = (console.encoding or "").lower().replace("-", "") == "utf8"
    if console.is_terminal and not console.is_dumb_terminal and utf8:
        return LiveDisplay(console, ttl_seconds=ttl_seconds, seed=seed)
    return PlainDisplay(console)


class PlainDisplay:
    """One line for each event, with the seconds since the start.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._changes = 0
        self._entries = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Does nothing."""

    def phase(self, text: str) -> None:
        """Prints a line."""
        self._print(text)

    def show(self, view: View) -> None:
        """Prints what has happened since the last call."""
        for change in view.changes[self._changes :]:
            file_name = str(change.item.get("fileName", ""))
            status = "expired" if change.removed else str(change.item["status"])
            self._print(f"{change.item['requestId']}  {status:<10}  {file_name}")
        self._changes = len(view.changes)
        for entry in view.audit_entries[self._entries :]:
            self._print(f"{entry['requestId']}  audited     as {_end_of(entry)}")
        self._entries = len(view.audit_entries)

    def _print(self, text: str) -> None:
        self._console.out(f"{time.monotonic() - self._began:5.1f} s  {text}".rstrip())


class LiveDisplay:
    """A table that fits the terminal and changes in place.

    Args:
        console: the terminal.
        ttl_seconds: for the title and the bars.
        seed: for the title.
    """

    def __init__(self, console: Console, *, ttl_seconds: int, seed: int) -> None:
        self._console = console
        self._ttl_seconds = ttl_seconds
        self._seed = seed
        self._phase = ""
        self._view: View | None = None
        self._began = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self.picture,
            refresh_per_second=_FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def phase(self, text: str) -> None:
        """Sets the second line."""
        self._phase = text

    def show(self, view: View) -> None:
        """Sets the view that the table shows."""
        self._view = view

    def picture(self) -> Group:
        """The present frame."""
        view = self._view
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        title = Text.assemble(
            ("export-status demo", "bold"),
            f"   an export lives {self._ttl_seconds} s   seed {self._seed}   {minutes:02}:{seconds:02}",
            no_wrap=True,
        )
        phase = Text(self._phase, style="italic", no_wrap=True, overflow="ellipsis")
        if view is None:
            return Group(title, phase)
        width = self._console.width - 1
        grid = _grid(view.exports, width)
        lines = self._console.height - _FIXED_LINES - len(grid)
        return Group(
            title,
            phase,
            Text(),
            _counts(view.exports),
            *grid,
            Text(),
            _rows(view.exports, self._ttl_seconds, max(_MIN_ROWS, min(_MAX_ROWS, lines))),
            Text(),
            _events(view, width),
            _outcomes(view.outcomes),
            Text(),
            *_ticker(view.audit_entries),
        )


def _counts(exports: Sequence[ExportView]) -> Text:
    text = Text(no_wrap=True)
    for status, style in STATUS_STYLES.items():
        count = sum(export.status == status and not export.removed for export in exports)
        text.append(f"{_GLYPHS[status]} {status} {count:<3} ", style)
    removed = sum(export.removed for export in exports)
    return text.append(f"{_GONE_AND_AUDITED} expired {removed}", "magenta")


def _grid(exports: Sequence[ExportView], width: int) -> Sequence[Text]:
    """Every export as one sign, in order of appearance; only the newest if the room is too small."""
    in_row = width // 2
    shown = exports[-in_row * _GRID_ROWS :]
    rows = []
    for begin in range(0, len(shown), in_row):
        row = Text(no_wrap=True)
        for export in shown[begin : begin + in_row]:
            if export.removed:
                glyph = _GONE_AND_AUDITED if export.audited else _GONE
            else:
                glyph = _GLYPHS.get(export.status, "?")
            row.append(f"{glyph} ", STATUS_STYLES.get(export.status, ""))
        rows.append(row)
    return rows


def _rows(exports: Sequence[ExportView], ttl_seconds: int, limit: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name, width in (("export", 16), ("status", 10), ("life left", _LIFE_CELLS + 5)):
        table.add_column(name, min_width=width, no_wrap=True)
    table.add_column("file", no_wrap=True, overflow="ellipsis")
    latest = sorted(exports, key=lambda export: export.changed_at, reverse=True)[:limit]
    for export in latest:
        left = max(0.0, export.ttl - time.time())
        cells = min(_LIFE_CELLS, round(_LIFE_CELLS * left / ttl_seconds))
        life = Text("█" * cells, STATUS_STYLES.get(export.status, "")).append(
            "░" * (_LIFE_CELLS - cells), "dim"
        )
        life.append(f" {left:2.0f} s")
        if export.removed:
            life = Text("expired", "magenta").append(", audited" if export.audited else "")
        table.add_row(
            export.request_id,
            Text(export.status, STATUS_STYLES.get(export.status, "")),
            life,
            export.file_name or "",
        )
    for _ in range(limit - len(latest)):
        table.add_row("")
    return table


def _events(view: View, width: int) -> Text:
    label, numbers = "events ", f"  {view.sent}/{view.planned} sent, {view.rejected} dead-lettered"
    seconds = view.throughput[-max(1, width - len(label) - len(numbers)) :]
    highest = max([*seconds, 1])
    line = "".join(_BARS[-(-count * (len(_BARS) - 1) // highest)] for count in seconds)
    return Text.assemble((label, "bold"), (line, "cyan"), numbers, no_wrap=True)


def _outcomes(outcomes: Mapping[str, int]) -> Text:
    text = Text(no_wrap=True)
    for outcome, style in OUTCOME_STYLES.items():
        if outcomes.get(outcome):
            text.append(f"{outcome} {outcomes[outcome]}  ", style)
    return text


def _ticker(entries: Sequence[Mapping[str, Any]]) -> Sequence[Text]:
    lines = [Text(f"audit log, {len(entries)} entries", "bold")]
    for entry in entries[-_TICKER_ROWS:]:
        style = STATUS_STYLES.get(str(entry.get("lastStatus")), "")
        line = Text.assemble(
            f"{entry['requestId']}  ",
            (f"expired as {_end_of(entry)}", style),
            no_wrap=True,
            overflow="ellipsis",
        )
        lines.append(line)
    return lines + [Text()] * (_TICKER_ROWS + 1 - len(lines))


def _end_of(entry: Mapping[str, Any]) -> str:
    """At most 41 characters, for which a plain line has room."""
    unfinished = "" if entry.get("finished") else ", unfinished"
    return f"{entry.get('lastStatus')}{unfinished}, {entry.get('deletionLagSeconds')} s late"
