"""The command group `audit`: looks at the audit trail in the Kinesis stream."""

import json
import re
import sys
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from handlers.masking import mask_urls
from handlers.timestamps import parse_timestamp
from processor.audit.aggregation import BrokenAggregate, UserRecord, read_record
from processor.audit.kinesis_reader import KinesisReader, KinesisRecord
from processor.cli import EXIT_FAILED, EXIT_USAGE
from processor.cli.audit_lines import HEADER, json_line, render, row
from processor.cli.operator import aws_errors, connect

WINDOW_ENTRIES = 100_000
"""How many entries back a repeat is known as one. Repeats come from pages that were put again, which are at
most 1,000 entries old for each shard of the table's stream."""

_DURATION = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

audit_app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@audit_app.callback()
def audit() -> None:
    """Look at the audit trail."""


@audit_app.command()
def tail(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="wait for new entries, until Ctrl-C")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="from when on: 15m, 2h, 1d ago or 2026-11-22T10:00:00Z; all if not given"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines also on a terminal; they are the default elsewhere")
    ] = False,
) -> None:
    """Print the audit entries of the stream KINESIS_EXPORT_AUDIT_STREAM, each once.

    Entries of one export come in order. A record that cannot be read is named on standard error, the rest is
    printed, and the exit status is 1.

    Example: export-status audit tail --since 1h | jq 'select(.finished | not)'
    """
    started = datetime.now(UTC)
    start = None if since is None else _since(since, started)
    settings, aws = connect()
    stream = settings.required_audit_stream()
    reader = KinesisReader(aws.kinesis(), stream, since=start, wait=Event().wait)
    shown = EntryOutput(as_json=as_json or not sys.stdout.isatty())
    try:
        with aws_errors(f"the audit stream {stream} (KINESIS_EXPORT_AUDIT_STREAM)"):
            for page in reader.pages(None if follow else started):
                for record in page:
                    shown.show(record)
                sys.stdout.flush()
    except KeyboardInterrupt:
        if not follow:
            raise
    raise typer.Exit(EXIT_FAILED if shown.bad_records else 0)


def _since(text: str, now: datetime) -> datetime:
    try:
        return moment(text, now)
    except ValueError as wrong:
        typer.echo(f"export-status: --since {wrong}", err=True)
        raise typer.Exit(EXIT_USAGE) from None


def moment(text: str, now: datetime) -> datetime:
    """Reads a point in the past: so long ago (`90s`, `15m`, `2h`, `1d`) or an RFC 3339 timestamp.

    Raises:
        ValueError: with the broken rule as a sentence.
    """
    ago = _DURATION.fullmatch(text)
    try:
        start = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else parse_timestamp(text)
    except (ValueError, OverflowError):
        raise ValueError("must be a duration such as 15m, 2h or 1d, or an RFC 3339 timestamp") from None
    if start > now:
        raise ValueError("must not lie in the future")
    return start


class EntryOutput:
    """Writes entries to standard output, repeats left out, and what is wrong to standard error."""

    def __init__(self, *, as_json: bool) -> None:
        self.bad_records = 0
        self._console = (
            None if as_json else Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
        )
        self._seen: OrderedDict[str, None] = OrderedDict()
        if self._console is not None:
            sys.stdout.write(render(self._console, Text(HEADER, "bold")) + "\n")

    def show(self, record: KinesisRecord) -> None:
        """Writes the entries of a record that are new."""
        for entry in self._entries(record):
            if self._is_repeat(entry["auditId"]):
                continue
            line = json_line(entry) if self._console is None else render(self._console, row(entry))
            sys.stdout.write(line + "\n")

    def _entries(self, record: KinesisRecord) -> Iterator[dict[str, Any]]:
        try:
            sub_records = read_record(record.partition_key, record.data)
        except BrokenAggregate as broken:
            self._complain(record, str(broken))
            return
        for number, sub_record in enumerate(sub_records):
            entry = _entry(sub_record)
            if entry is None:
                self._complain(record, f"record {number + 1} of {len(sub_records)} must be an audit entry")
            else:
                yield entry

    def _complain(self, record: KinesisRecord, problem: str) -> None:
        self.bad_records += 1
        typer.echo(f"audit tail: {record.shard_id} {record.sequence_number}: {problem}", err=True)

    def _is_repeat(self, audit_id: str) -> bool:
        repeat = audit_id in self._seen
        self._seen[audit_id] = None
        self._seen.move_to_end(audit_id)
        if len(self._seen) > WINDOW_ENTRIES:
            self._seen.popitem(last=False)
        return repeat


def _entry(record: UserRecord) -> dict[str, Any] | None:
    """The entry as its producer wrote it, with fields of later versions, masked; None if it is none."""
    try:
        entry = _masked(json.loads(record.data, parse_constant=_no_constant))
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("auditId"), str):
        return None
    return entry


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask_urls(value)
        case dict():
            return {mask_urls(key): _masked(inner) for key, inner in value.items()}
        case list():
            return [_masked(inner) for inner in value]
        case _:
            return value
