"""Counts an archive of audit entries: each `auditId` once, by the day of its `deletedAt` and by shard."""

import gzip
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

GAP_MINUTES = 60
_GZIP = b"\x1f\x8b"
_DAMAGED = "the gzip data is damaged or ends too early"


class _Source(msgspec.Struct, gc=False, rename="camel"):
    shard_id: str | None = None


class _Line(msgspec.Struct, gc=False, rename="camel"):
    """A line of the archive: an entry, or another line of the service's log, which has none of its fields."""

    event: str = "audit"
    audit_id: str = ""
    deleted_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    action: str = ""
    source: _Source = msgspec.field(default_factory=_Source)


_lines = msgspec.json.Decoder(_Line)


@dataclass(slots=True)
class Shard:
    """What the archive has of one shard of the table's stream.

    Attributes:
        entries: how many, each `auditId` once.
        repeats: how many came again.
        minutes: those in which an item was deleted, since 1970.
    """

    entries: int = 0
    repeats: int = 0
    minutes: set[int] = field(default_factory=set)

    def gaps(self) -> list[tuple[datetime, datetime]]:
        """Stretches of an hour or more between two entries. A quiet table has them too."""
        order = sorted(self.minutes)
        return [
            (datetime.fromtimestamp(before * 60, UTC), datetime.fromtimestamp(after * 60, UTC))
            for before, after in pairwise(order)
            if after - before >= GAP_MINUTES
        ]


@dataclass(frozen=True, slots=True)
class Day:
    """One day, in UTC.

    Attributes:
        day: which.
        entries: all of them.
        expired: those of items that DynamoDB deleted by TTL.
        deleted: how many items DynamoDB says it deleted by TTL; None where it gives no count.
        missing: entries that DynamoDB's count asks for and the archive lacks.
    """

    day: date
    entries: int
    expired: int
    deleted: int | None
    missing: int


@dataclass(slots=True)
class Archive:
    """Counts entries. It needs about 100 bytes of memory for each.

    Args:
        since: entries deleted on earlier days are left out; None: none are.

    Attributes:
        shards: by shard id, None for entries without one.
    """

    since: date | None
    shards: dict[str | None, Shard] = field(default_factory=lambda: defaultdict(Shard), init=False)
    _seen: set[str] = field(default_factory=set, init=False)
    _entries: Counter[date] = field(default_factory=Counter, init=False)
    _expired: Counter[date] = field(default_factory=Counter, init=False)
    _at_midnight: Counter[date] = field(default_factory=Counter, init=False)

    @property
    def first_day(self) -> date | None:
        """The first day with an entry; None without entries."""
        return min(self._entries, default=None)

    def read(self, path: Path) -> Iterator[str]:
        """Reads a file of JSON lines, plain or gzip; yields one sentence for each line that is no entry, and
        for a file that cannot be read to its end."""
        try:
            with path.open("rb") as file:
                for number, line in enumerate(_lines_of(file), 1):
                    if line.strip() and not self._add(line):
                        yield f"line {number} must be an audit entry"
        except OSError as broken:
            yield broken.strerror or _DAMAGED
        except (EOFError, zlib.error):
            yield _DAMAGED

    def days(self, deleted: Mapping[date, int]) -> list[Day]:
        """Compares each day with DynamoDB's count, from the first day of either to the last.

        DynamoDB dates a deletion by the minute, so one at midnight may count for the neighbouring day. A
        day's surplus therefore covers what the day before or after lacks; of a day without a count, the
        entries of its first and last minute do.

        Args:
            deleted: items deleted by TTL, by day in UTC.
        """
        known = {day: count for day, count in deleted.items() if self.since is None or day >= self.since}
        days = sorted(self._entries.keys() | known.keys())
        spare = {**self._at_midnight, **{day: self._expired[day] - count for day, count in known.items()}}
        found = []
        for day in days:
            missing = max(0, known.get(day, 0) - self._expired[day])
            for other in (date.fromordinal(day.toordinal() + step) for step in (-1, 1) if missing):
                covered = min(missing, max(0, spare.get(other, 0)))
                missing -= covered
                spare[other] = spare.get(other, 0) - covered
            found.append(Day(day, self._entries[day], self._expired[day], known.get(day), missing))
        return found

    def _add(self, line: bytes) -> bool:
        """Counts a line; False if it is neither an entry nor another line of the service's log."""
        try:
            entry = _lines.decode(line)
            at = entry.deleted_at.astimezone(UTC) if entry.deleted_at else None
        except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError):
            return False
        if entry.event != "audit":
            return True
        if at is None or not entry.audit_id:
            return False
        if self.since is not None and at.date() < self.since:
            return True
        shard = self.shards[entry.source.shard_id]
        if entry.audit_id in self._seen:
            shard.repeats += 1
            return True
        self._seen.add(entry.audit_id)
        is_expired = entry.action == "export.expired"
        self._entries[at.date()] += 1
        self._expired[at.date()] += is_expired
        self._at_midnight[at.date()] += is_expired and (at.hour, at.minute) in {(0, 0), (23, 59)}
        shard.entries += 1
        shard.minutes.add(int(at.timestamp() // 60))
        return True


def files_of(path: Path) -> Iterator[Path]:
    """The file itself, or every file below a folder, in the order of their names."""
    if path.is_dir():
        yield from sorted(found for found in path.rglob("*") if not found.is_dir())
    else:
        yield path


def _lines_of(file: BinaryIO) -> Iterator[bytes]:
    # A pipe cannot be read twice: the first bytes are looked at, not taken.
    start: bytes = file.peek(2)[:2]  # type: ignore[attr-defined] # BufferedReader has it
    if start == _GZIP:
        with gzip.GzipFile(fileobj=file) as packed:
            yield from packed
    else:
        yield from file
