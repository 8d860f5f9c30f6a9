"""Output of `audit tail`: each entry once to standard output, problems to standard error."""

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from processor.audit.kpl import BrokenAggregate, read_record
from processor.audit.tail import KinesisRecord
from processor.cli.output import brief_seconds, console, json_line, masked, safe
from processor.cli.styles import STATUS_STYLES

HEADER = f"{'DELETED (UTC)':<19}  {'ACTION':<7}  {'LAST STATUS':<11}  {'LAG':>5}  REQUEST"
WINDOW_ENTRIES = 100_000
"""How many entries are remembered to recognise repeats. A page that is put again holds at most 1,000 entries
of each shard of the table's stream."""


class EntryOutput:
    """Writes entries to standard output without repeats, and problems to standard error.

    Args:
        as_json: JSON lines instead of a table.

    Attributes:
        bad_records: how many records or entries could not be read.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.bad_records = 0
        self._console = None if as_json else console()
        self._seen: OrderedDict[str, None] = OrderedDict()
        if self._console is not None:
            sys.stdout.write(render(self._console, Text(HEADER, "bold")) + "\n")

    def show(self, record: KinesisRecord) -> None:
        """Writes the entries of a record that were not written before."""

        def complain(problem: str) -> None:
            self.bad_records += 1
            typer.echo(f"audit tail: {record.shard_id} {record.sequence_number}: {problem}", err=True)

        for entry in entries_of(record, complain):
            if not self._is_repeat(entry["auditId"]):
                line = json_line(entry) if self._console is None else render(self._console, row(entry))
                sys.stdout.write(line + "\n")

    def _is_repeat(self, audit_id: str) -> bool:
        repeat = audit_id in self._seen
        self._seen[audit_id] = None
        self._seen.move_to_end(audit_id)
        if len(self._seen) > WINDOW_ENTRIES:
            self._seen.popitem(last=False)
        return repeat


def entries_of(record: KinesisRecord, complain: Callable[[str], object]) -> Iterator[dict[str, Any]]:
    """The masked entries of a record with all their fields, also those of later versions.

    Args:
        record: an aggregate, or one entry.
        complain: called with what is wrong with the record or with one of its entries.
    """
    try:
        parts = read_record(record.data)
    except BrokenAggregate as broken:
        complain(str(broken))
        return
    for number, part in enumerate(parts, start=1):
        try:
            entry = masked(msgspec.json.decode(part))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            entry = None
        if isinstance(entry, dict) and isinstance(entry.get("auditId"), str):
            yield entry
        else:
            complain(f"record {number} of {len(parts)} must be an audit entry")


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
