"""How each export must end, worked out from the plan of the sent events alone.

It does not use the service's rules on purpose: the demo measures the service against it. It can be simple,
because the scenario leaves time between events whose order matters.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from processor.demo.scenario import Event, Sending

_RANK = {"pending": 0, "processing": 1, "completed": 2, "failed": 2}
_QUERY = re.compile(r"\?\S*")


@dataclass(frozen=True, slots=True)
class Ending:
    """How one export must end."""

    item: Mapping[str, str | int]
    """All attributes of the last item."""

    @property
    def expires(self) -> int:
        """The item's ttl, in Unix seconds."""
        return int(self.item["ttl"])

    def audit_fields(self) -> dict[str, Any]:
        """The fields of the audit entry that follow from the item (docs/contract.md, section 4)."""
        error = self.item.get("error")
        return {
            "schemaVersion": 1,
            "action": "export.expired",
            "requestId": self.item["requestId"],
            "lastStatus": self.item["status"],
            "finished": _RANK[str(self.item["status"])] == _RANK["completed"],
            "createdAt": self.item["createdAt"],
            "updatedAt": self.item["updatedAt"],
            "expiresAt": f"{datetime.fromtimestamp(self.expires, UTC):%Y-%m-%dT%H:%M:%S}.000Z",
            "fileName": self.item.get("fileName"),
            "error": None if error is None else _QUERY.sub("", str(error)),
            "hadSignedUrl": "signedUrl" in self.item,
            "actor": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
        }


def expected_endings(sent: Iterable[Sending], ttl_seconds: int) -> Mapping[str, Ending]:
    """How each export must end, by request id."""
    by_export: dict[str, list[tuple[float, Event]]] = defaultdict(list)
    for sending in sorted(sent, key=lambda each: each.at):
        if sending.event is not None:
            by_export[sending.event["requestId"]].append((sending.at.timestamp(), sending.event))
    return {request_id: _ending(events, ttl_seconds) for request_id, events in by_export.items()}


def uncertain_exports(
    sent: Iterable[Sending], handled: Mapping[str, float], endings: Mapping[str, Ending]
) -> set[str]:
    """The exports of which an event was to be in time and was handled after their end, on a slow machine.

    Args:
        sent: all messages.
        handled: when the service reported the outcome of an event, in Unix seconds by its id.
        endings: by request id.
    """
    return {
        sending.event["requestId"]
        for sending in sent
        if sending.event is not None
        and sending.at.timestamp()
        < endings[sending.event["requestId"]].expires
        <= handled.get(sending.event["eventId"], 0)
    }


def _ending(events: Sequence[tuple[float, Event]], ttl_seconds: int) -> Ending:
    created = next(event.get("createdAt") or event["occurredAt"] for _, event in events if _knows(event))
    expires = int(datetime.fromisoformat(created).timestamp()) + ttl_seconds
    timely = [event for at, event in events if at < expires]
    # max() keeps the first of equals: the first of two terminal events stands.
    last = max(timely, key=lambda event: _RANK[event["status"]])
    item: dict[str, str | int] = {
        "requestId": last["requestId"],
        "status": last["status"],
        "createdAt": created,
        "updatedAt": last["occurredAt"],
        "ttl": expires,
    }
    # A later contradiction names the same file, so each of the events gives the same name.
    for event in timely:
        if "fileName" in event:
            item["fileName"] = event["fileName"]
    for name in ("signedUrl", "error"):
        if name in last:
            item[name] = last[name]
    return Ending(item)


def _knows(event: Event) -> bool:
    return "createdAt" in event or event["status"] == "pending"
