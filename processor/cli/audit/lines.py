"""Prints an audit entry as a row of a table, for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from processor.cli.output import brief_seconds, safe
from processor.cli.styles import STATUS_STYLES

HEADER = f"{'DELETED (UTC)':<19}  {'ACTION':<7}  {'LAST STATUS':<11}  {'LAG':>5}  REQUEST"


def row(entry: Mapping[str, Any]) -> Text:
    """The entry as one row under `HEADER`; its fields may be missing or malformed."""
    action = _plain(entry.get("action")).removeprefix("export.")
    status = _plain(entry.get("lastStatus")) or "-"
    text = Text()
    text.append(f"{_plain(entry.get('deletedAt'))[:19].replace('T', ' '):<19}", "dim")
    text.append(f"  {action[:7]:<7}", "magenta" if action == "deleted" else "")
    text.append(f"  {status[:11]:<11}", STATUS_STYLES.get(status, ""))
    text.append(f"  {_lag(entry.get('deletionLagSeconds')):>5}")
    text.append(f"  {_plain(entry.get('requestId'))}", "bold")
    if entry.get("finished") is False:
        text.append("  unfinished", "bold red")
    detail = _plain(entry.get("error")) or _plain(entry.get("fileName"))
    if detail:
        text.append(f"  {detail}", "dim")
    return text


def render(console: Console, line: Text) -> str:
    """The line cut to the console's width, as text with its colours."""
    line.truncate(console.width, overflow="ellipsis")
    with console.capture() as captured:
        console.print(line, soft_wrap=True, end="")
    return captured.get()


def _lag(seconds: object) -> str:
    return brief_seconds(seconds) if isinstance(seconds, int) and not isinstance(seconds, bool) else "-"


def _plain(value: object) -> str:
    return safe(value) if isinstance(value, str) else ""
