"""How `audit tail` shows an entry: a JSON line for a program, a row of a table for a person."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

HEADER = f"{'DELETED (UTC)':<19}  {'ACTION':<7}  {'LAST STATUS':<11}  {'LAG':>7}  REQUEST"
_STATUS_STYLES = {"completed": "green", "failed": "red", "processing": "yellow", "pending": "yellow"}
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def json_line(entry: Mapping[str, Any]) -> str:
    """The entry as one line of JSON, in ASCII so that any terminal and any locale can take it."""
    return json.dumps(entry, separators=(",", ":"))


def row(entry: Mapping[str, Any]) -> Text:
    """The entry as one row under `HEADER`; its fields may be missing or of another form."""
    action = _plain(entry.get("action")).removeprefix("export.")
    status = _plain(entry.get("lastStatus")) or "-"
    text = Text()
    text.append(f"{_plain(entry.get('deletedAt'))[:19].replace('T', ' '):<19}", "dim")
    text.append(f"  {action[:7]:<7}", "magenta" if action == "deleted" else "")
    text.append(f"  {status[:11]:<11}", _STATUS_STYLES.get(status, ""))
    text.append(f"  {_lag(entry.get('deletionLagSeconds')):>7}")
    text.append(f"  {_plain(entry.get('requestId'))}", "bold")
    if entry.get("finished") is False:
        text.append("  unfinished", "bold red")
    detail = _plain(entry.get("error")) or _plain(entry.get("fileName"))
    if detail:
        text.append(f"  {detail}", "dim")
    return text


def render(console: Console, line: Text) -> str:
    """What a terminal of this width shows, as text, so that one place writes to standard output."""
    line.truncate(console.width, overflow="ellipsis")
    with console.capture() as captured:
        console.print(line, soft_wrap=True, end="")
    return captured.get()


def _lag(seconds: object) -> str:
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return "-"
    for size, unit in _UNITS:
        if seconds >= size * 10:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _plain(value: object) -> str:
    """Text for a terminal: no character that moves its cursor or hides others."""
    text = value if isinstance(value, str) else ""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
