"""The sink `log`: one JSON line an entry on standard output (docs/contract.md, section 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from handlers.audit import AuditEntry
from handlers.timestamps import format_timestamp
from processor.audit.sinks.base import Refusal, SinkUnavailable
from processor.observability.log import LineOutput
from processor.streams.record_processor import Interrupted

LINES_PER_WRITE = 32
"""Lines that are written and flushed together. After an error the sink writes all of them again."""


@dataclass(frozen=True)
class LogSink:
    """Writes each entry as one flushed JSON line, whatever the log's level and format.

    Beyond that, an entry is as durable as the reader of standard output makes it.

    Args:
        lines: standard output.
        now: the time for the lines' `timestamp`.
    """

    lines: LineOutput
    now: Callable[[], datetime]
    name = "log"

    def begin(self, entries: Sequence[AuditEntry]) -> "LogPut":
        """Prepares to write entries; see `Sink.begin`."""
        return LogPut(self, entries)


@dataclass
class LogPut:
    """Entries on their way to standard output; see `Put`.

    Args:
        sink: where they go.
        entries: what to write.
    """

    sink: LogSink
    entries: Sequence[AuditEntry]
    refusals: Sequence[Refusal] = ()
    """A line can hold every entry."""
    durable: int = 0

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Writes what is left; see `Put.go_on`."""
        while self.durable < len(self.entries):
            if not may_continue():
                raise Interrupted
            now = self.sink.now()
            entries = self.entries[self.durable : self.durable + LINES_PER_WRITE]
            try:
                self.sink.lines.write_line("\n".join(audit_line(entry, now) for entry in entries))
            except OSError as error:
                raise SinkUnavailable("standard output takes no lines") from error
            self.durable += len(entries)


def audit_line(entry: AuditEntry, now: datetime) -> str:
    """The entry as a log line: the fields that begin every log line, then the entry's own.

    Args:
        entry: what to write.
        now: the line's `timestamp`.
    """
    return f'{{"timestamp":"{format_timestamp(now)}","level":"info","event":"audit",{entry.to_json()[1:]}'
