"""The sink `log`: one JSON line an entry on standard output (contract section 4)."""

from collections.abc import Callable, Sequence
from datetime import datetime

from handlers.audit import AuditEntry
from handlers.timestamps import format_timestamp
from processor.audit.sinks.base import Refusal, SinkInterrupted, SinkUnavailable
from processor.observability.log import LineOutput

LINES_PER_WRITE = 32
"""Lines that are written and flushed together; after an error all of them are written again."""


class LogSink:
    """Writes each entry's line whole and flushes it; it is JSON whatever the log's level and format.

    Beyond that an entry is as durable as whoever reads standard output makes it.
    """

    name = "log"

    def __init__(self, lines: LineOutput, now: Callable[[], datetime]) -> None:
        self._lines = lines
        self._now = now

    def put(self, entries: Sequence[AuditEntry], may_continue: Callable[[], bool]) -> Sequence[Refusal]:
        """Writes the entries; see `Sink.put`. No entry is ever refused."""
        for start in range(0, len(entries), LINES_PER_WRITE):
            if not may_continue():
                raise SinkInterrupted
            now = self._now()
            lines = [audit_line(entry, now) for entry in entries[start : start + LINES_PER_WRITE]]
            try:
                self._lines.write_line("\n".join(lines))
            except OSError as error:
                raise SinkUnavailable("standard output takes no lines") from error
        return ()


def audit_line(entry: AuditEntry, now: datetime) -> str:
    """The entry as a line of the log: what every log line begins with, then the entry's own fields."""
    return f'{{"timestamp":"{format_timestamp(now)}","level":"info","event":"audit",{entry.to_json()[1:]}'
