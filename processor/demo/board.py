"""The events of a running demo: several threads write them, the display reads them."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from processor.demo.expectations import Sent
from processor.demo.observer import Change
from processor.demo.verdict import SIGNATURE

THROUGHPUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ExportView:
    """One export as the table's stream shows it."""

    request_id: str
    status: str
    ttl: int
    file_name: str | None
    removed: bool
    audited: bool
    changed_at: float
    """By `time.monotonic`."""


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot of the demo."""

    exports: Sequence[ExportView]
    """In the order in which they appeared."""
    changes: Sequence[Change]
    """The changes of the table, oldest first."""
    audit_lines: Sequence[Mapping[str, Any]]
    """The audit entries that the service printed, repeats included."""
    audit_entries: Sequence[Mapping[str, Any]]
    """The audit entries without repeats, oldest first."""
    outcomes: Mapping[str, int]
    throughput: Sequence[int]
    """Events handled in each second; the last second is not over."""
    messages: Sequence[Sent]
    """The messages sent so far."""
    planned: int
    rejected: int
    leaking_lines: int
    """How many lines of the service contained a signed URL."""

    @property
    def sent(self) -> int:
        """How many messages were sent so far."""
        return len(self.messages)


class Board:
    """Collects the events; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._planned = 0
        self._sent: list[Sent] = []
        self._changes: list[Change] = []
        self._exports: dict[str, ExportView] = {}
        self._audit_lines: list[Mapping[str, Any]] = []
        self._audited: set[str] = set()
        self._audit_entries: list[Mapping[str, Any]] = []
        self._outcomes: Counter[str] = Counter()
        self._handled: Counter[int] = Counter()
        self._leaking_lines = 0
        self._rejected = 0

    def begin(self, planned: int) -> None:
        """Starts the clock.

        Args:
            planned: how many messages will be sent.
        """
        with self._lock:
            self._started = time.monotonic()
            self._planned = planned

    def on_sent(self, batch: Sequence[Sent]) -> None:
        """Adds messages that the queue has accepted."""
        with self._lock:
            self._sent += batch

    def on_change(self, change: Change) -> None:
        """Adds a change of the table."""
        request_id = str(change.item["requestId"])
        with self._lock:
            self._changes.append(change)
            self._exports[request_id] = ExportView(
                request_id=request_id,
                status=str(change.item.get("status", "")),
                ttl=int(change.item.get("ttl", 0)),
                file_name=None if "fileName" not in change.item else str(change.item["fileName"]),
                removed=change.removed,
                audited=request_id in self._audited,
                changed_at=time.monotonic(),
            )

    def on_line(self, text: str, fields: Mapping[str, Any]) -> None:
        """Adds a line of the service."""
        with self._lock:
            self._leaking_lines += SIGNATURE in text
            match fields.get("event"):
                case "audit":
                    self._audit_lines.append(fields)
                    self._note_audit(fields)
                case "event_outcome":
                    self._outcomes[str(fields.get("outcome"))] += 1
                    self._handled[int(time.monotonic() - self._started)] += 1

    def on_rejected(self, count: int) -> None:
        """Sets the number of messages in the dead-letter queue."""
        with self._lock:
            self._rejected = count

    def view(self) -> View:
        """The present snapshot."""
        with self._lock:
            elapsed = time.monotonic() - self._started
            seconds = range(max(0, int(elapsed) - THROUGHPUT_SECONDS + 1), int(elapsed) + 1)
            return View(
                exports=tuple(self._exports.values()),
                changes=tuple(self._changes),
                audit_lines=tuple(self._audit_lines),
                audit_entries=tuple(self._audit_entries),
                outcomes=dict(self._outcomes),
                throughput=[self._handled[second] for second in seconds],
                messages=tuple(self._sent),
                planned=self._planned,
                rejected=self._rejected,
                leaking_lines=self._leaking_lines,
            )

    def _note_audit(self, entry: Mapping[str, Any]) -> None:
        request_id = str(entry.get("requestId"))
        if request_id in self._audited:
            return
        self._audited.add(request_id)
        self._audit_entries.append(entry)
        known = self._exports.get(request_id)
        if known is not None:
            self._exports[request_id] = replace(known, audited=True)
