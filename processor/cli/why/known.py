"""What is known of one export."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from handlers.export import Export
from processor.cli.dlq.dead_letter import DeadLetter


class Source(Enum):
    """Where `why` looks; the values are the keys of `--json`."""

    RECORD = "record"
    DEAD_LETTERS = "deadLetters"
    AUDIT_ENTRIES = "auditEntries"
    LOG_LINES = "logLines"


@dataclass(frozen=True, slots=True)
class Known:
    """The answers of all sources about one export.

    Attributes:
        request_id: the export.
        record: its item, dead or alive; None if there is none.
        dead: whether the item is past its ttl.
        letters: its dead letters.
        entries: its audit entries, oldest first.
        log_lines: log lines that name it, oldest first.
        unread: why a source could not be read.
    """

    request_id: str
    record: Export | None = None
    dead: bool = False
    letters: Sequence[DeadLetter] = ()
    entries: Sequence[Mapping[str, Any]] = ()
    log_lines: Sequence[str] = ()
    unread: Mapping[Source, str] = field(default_factory=dict)
