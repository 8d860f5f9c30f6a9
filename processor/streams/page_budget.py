"""Bounds the memory of the pages that a worker holds, however many shards it reads."""

import threading
from collections.abc import Sequence

from processor.streams.record_processor import Record

RECORD_BYTES = 4_096
"""Memory of a removal and its entry beyond its content (an estimate: a full page takes about 7 MB)."""

CHANGE_BYTES = 512
"""Memory of a record that is no removal, which stays as long as its page does."""

CONTENT_FACTOR = 4
PAGE_BYTES = 1_000 * RECORD_BYTES + CONTENT_FACTOR * 1_000_000
"""Memory of the largest page: 1,000 records or 1 MB."""

DEFAULT_BYTES = 64 * 1_000_000


class PageBudget:
    """A number of bytes that all readers share. A page keeps its share until its work is finished.

    Args:
        limit_bytes: at least one page fits, whatever this is.
    """

    def __init__(self, limit_bytes: int = DEFAULT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._used = 0
        self._shares: dict[object, int] = {}

    def reserve(self, holder: object) -> bool:
        """Takes the share of a full page before its read; returns whether there was room."""
        with self._lock:
            if self._used > 0 and self._used + PAGE_BYTES > self._limit:
                return False
            self._used += PAGE_BYTES
            self._shares[holder] = PAGE_BYTES
            return True

    def keep(self, holder: object, size: int) -> None:
        """Gives back all but so many bytes of a holder's share."""
        with self._lock:
            self._used += size - self._shares.pop(holder, 0)
            if size > 0:
                self._shares[holder] = size


def memory_of(records: Sequence[Record]) -> int:
    """About how much memory a page takes, at most `PAGE_BYTES`; without removals it is not kept."""
    sizes = [
        RECORD_BYTES + CONTENT_FACTOR * int(record["dynamodb"].get("SizeBytes", 0))
        for record in records
        if record.get("eventName") == "REMOVE"
    ]
    return min(PAGE_BYTES, sum(sizes) + CHANGE_BYTES * (len(records) - len(sizes))) if sizes else 0
