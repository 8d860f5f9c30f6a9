"""Output of `audit tail`: each entry once to standard output, problems to standard error."""

import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import typer
from rich.text import Text

from handlers.masking import mask_urls
from processor.audit.kpl import BrokenAggregate, read_record
from processor.audit.tail import KinesisRecord
from processor.cli.audit.lines import HEADER, render, row
from processor.cli.output import console, json_line

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
            entry = _masked(json.loads(part, parse_constant=_no_constant))
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict) and isinstance(entry.get("auditId"), str):
            yield entry
        else:
            complain(f"record {number} of {len(parts)} must be an audit entry")


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
