"""The events of a running demo: several threads add them, the display and the verdict read them."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from processor.demo.observer import Change
from processor.demo.scenario import Sending

SIGNATURE = "X-Amz-Signature"
"""In every signed URL of the scenario, so it must be in no line of the service."""


class Rejection(NamedTuple):
    """A message in the dead-letter queue."""

    body: str
    outcome: str
    reason: str


@dataclass(slots=True)
class Board:
    """What has happened. One thread alone adds to each list, so that others can read it at any time.

    Attributes:
        planned: how many messages will be sent.
        sent: the messages sent so far.
        changes: the changes of the table, oldest first.
        audit_lines: the audit entries that the service printed, repeats included.
        outcomes: how many events the service handled, by outcome.
        handled: when the service reported an event's outcome, in Unix seconds by the event's id.
        leaking_lines: how many lines of the service contained a signed URL.
        waiting: how many messages are in the event queue.
        dead_letters: how many messages are in the dead-letter queue.
        rejections: these messages, at the end.
        exit_status: of the service, at the end.
    """

    planned: int = 0
    sent: list[Sending] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    audit_lines: list[Mapping[str, Any]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    handled: dict[str, float] = field(default_factory=dict)
    leaking_lines: int = 0
    waiting: int = 0
    dead_letters: int = 0
    rejections: Sequence[Rejection] = ()
    exit_status: int | None = None

    @property
    def exports(self) -> Mapping[str, Change]:
        """The last change of each export by its id, in the order in which the exports appeared."""
        return {str(change.item["requestId"]): change for change in self.changes}

    @property
    def audit_entries(self) -> Mapping[str, Mapping[str, Any]]:
        """The audit entries without repeats by request id, oldest first."""
        return {str(line.get("requestId")): line for line in self.audit_lines}

    def on_line(self, line: str) -> None:
        """Adds a line of the service."""
        self.leaking_lines += SIGNATURE in line
        with suppress(ValueError):
            match json.loads(line):
                case {"event": "audit"} as entry:
                    self.audit_lines.append(entry)
                case {"event": "event_outcome", "event_id": event_id, "outcome": outcome}:
                    self.outcomes[outcome] += 1
                    self.handled[event_id] = time.time()
