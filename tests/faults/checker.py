"""Compares what must have come of a run with what the table, the dead-letter queue and the audit hold."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.faults.expected import RANK, DeletedByHand, Ending, Expected, Life, Sent, Value, expected

Item = Mapping[str, str | int]

_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_TTL_ACTOR = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue."""

    body: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Delivered:
    """An audit entry as one sink holds it; of entries of one export, `order` tells which came first."""

    sink: str
    order: Any
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a run left behind."""

    items: Mapping[tuple[str, int], Item]
    """The items when every timely message was settled, by request id and by which of its lives it was."""
    dead_letters: Sequence[DeadLetter]
    audit: Sequence[Delivered]
    sinks: tuple[str, ...]
    left_in_queue: int = 0
    left_in_table: Sequence[str] = ()


@dataclass(slots=True)
class Report:
    """What is not as it must be, each thing as a sentence."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    missing_audit: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> Mapping[str, Sequence[str]]:
        """What was found, by its kind."""
        return {
            "lost": self.lost,
            "wrong": self.wrong,
            "unexplained dead-letter": self.unexplained,
            "missing audit": self.missing_audit,
        }

    @property
    def is_clean(self) -> bool:
        """Whether everything is as it must be."""
        return not any(self.kinds.values())

    def line(self) -> str:
        """The result in one line."""
        return ", ".join(f"{kind} {len(found)}" for kind, found in self.kinds.items())

    def details(self, most: int = 5) -> list[str]:
        """The first few of each kind."""
        return [f"{kind}: {each}" for kind, found in self.kinds.items() for each in found[:most]]


def check(
    sent: Sequence[Sent], deletions: Iterable[DeletedByHand], observed: Observed, ttl_seconds: int
) -> Report:
    """Works out what must be there and compares.

    Args:
        sent: every message that the queue took.
        deletions: every item that was deleted by hand.
        observed: what was found.
        ttl_seconds: the service's setting.
    """
    return _Check(expected(sent, deletions, ttl_seconds), observed, ttl_seconds).report()


class _Check:
    def __init__(self, wanted: Expected, observed: Observed, ttl_seconds: int) -> None:
        self._wanted = wanted
        self._observed = observed
        self._ttl_seconds = ttl_seconds
        self._report = Report()
        self._endings: dict[tuple[str, int], Ending] = {}

    def report(self) -> Report:
        self._check_items()
        for sink in self._observed.sinks:
            self._check_audit(sink)
        self._check_repeats()
        self._check_dead_letters()
        if self._observed.left_in_queue:
            self._report.lost.append(f"{self._observed.left_in_queue} messages are still in the queue")
        self._report.wrong += [f"{key} is still in the table" for key in self._observed.left_in_table]
        return self._report

    def _check_items(self) -> None:
        unexpected = dict(self._observed.items)
        for request_id, lives in self._wanted.lives.items():
            for number, life in enumerate(lives):
                item = unexpected.pop((request_id, number), None)
                if item is None:
                    self._report.lost.append(f"{request_id} is not in the table")
                    continue
                ending = life.ending(item.get("status"))
                if ending is None:
                    self._note_status(request_id, life, item.get("status"))
                    continue
                self._endings[request_id, number] = ending
                self._compare_item(request_id, item, ending)
        self._report.wrong += [f"{key} must not be in the table" for key, _ in unexpected]

    def _note_status(self, request_id: str, life: Life, status: object) -> None:
        allowed = " or ".join(each.status for each in life.endings)
        is_behind = RANK.get(str(status), 0) < RANK[life.endings[0].status]
        (self._report.lost if is_behind else self._report.wrong).append(
            f"{request_id} is {status}, must be {allowed}"
        )

    def _check_audit(self, sink: str) -> None:
        by_export: dict[str, dict[str, Delivered]] = defaultdict(dict)
        for delivered in sorted(
            (each for each in self._observed.audit if each.sink == sink), key=lambda each: each.order
        ):
            # The first appearance of each entry counts for its place.
            by_export[delivered.entry["requestId"]].setdefault(delivered.entry["auditId"], delivered)
        for request_id in [*self._wanted.lives, *(by_export.keys() - self._wanted.lives.keys())]:
            entries = [each.entry for each in by_export[request_id].values()]
            self._check_export(sink, request_id, self._wanted.lives.get(request_id, ()), entries)

    def _check_export(
        self, sink: str, request_id: str, lives: Sequence[Life], entries: Sequence[Mapping[str, Any]]
    ) -> None:
        if len(entries) != len(lives):
            kind = self._report.missing_audit if len(entries) < len(lives) else self._report.wrong
            kind.append(f"{sink} has {len(entries)} audit entries of {request_id}, must be {len(lives)}")
            return
        for number, (life, entry) in enumerate(zip(lives, entries, strict=True)):
            what = f"in {sink} the audit entry {number + 1} of {request_id}"
            ending = self._endings.get((request_id, number)) or life.ending(entry["lastStatus"])
            if ending is None:
                self._report.wrong.append(f"{what} has {entry['lastStatus']}")
                continue
            self._compare(what, entry, ending.audit)
            self._check_removal(what, life, entry)

    def _check_removal(self, what: str, life: Life, entry: Mapping[str, Any]) -> None:
        expired = life.action == "export.expired"
        lag = entry["deletionLagSeconds"]
        lag_is_right = lag is None if not expired else isinstance(lag, int) and lag >= 0
        rules = {
            "schemaVersion": entry["schemaVersion"] == 1,
            "action": entry["action"] == life.action,
            "actor": entry["actor"] == (_TTL_ACTOR if expired else None),
            "deletionLagSeconds": lag_is_right,
            "deletedAt": _MILLISECONDS.fullmatch(entry["deletedAt"]) is not None,
            "source": all(
                entry["source"].get(name)
                for name in ("table", "region", "streamArn", "shardId", "sequenceNumber")
            ),
        }
        self._note_broken(what, rules, entry)

    def _check_repeats(self) -> None:
        """Entries with one auditId are equal wherever and however often they appear."""
        first: dict[str, Mapping[str, Any]] = {}
        for delivered in self._observed.audit:
            entry = delivered.entry
            if first.setdefault(entry["auditId"], entry) != entry:
                self._report.wrong.append(
                    f"the audit entry {entry['auditId']} of {entry['requestId']} varies"
                )

    def _check_dead_letters(self) -> None:
        losers = {loser for ending in self._endings.values() for loser in ending.losers}
        missing = losers | set(self._wanted.poison)
        for letter in self._observed.dead_letters:
            source = letter.attributes.get("sourceMessageId", "")
            outcome = letter.attributes.get("rejectionOutcome")
            is_poison = outcome == "invalid" and source in self._wanted.poison
            is_loser = outcome == "conflict" and source in losers
            if not (is_poison or is_loser) or letter.body != self._wanted.bodies[source]:
                self._report.unexplained.append(f"{outcome} of message {source}: {letter.body[:60]!r}")
                continue
            missing.discard(source)
            self._check_letter(source, letter.attributes)
        self._report.lost += [f"message {each} is not in the dead-letter queue" for each in sorted(missing)]

    def _check_letter(self, source: str, attributes: Mapping[str, str]) -> None:
        reason, count = attributes.get("rejectionReason", ""), attributes.get("receiveCount", "")
        rules = {
            "rejectionReason": 0 < len(reason) <= 256 and reason.isascii() and reason.isprintable(),
            "receiveCount": count.isdigit() and int(count) >= 1,
            "rejectedAt": _MILLISECONDS.fullmatch(attributes.get("rejectedAt", "")) is not None,
        }
        self._note_broken(f"the dead letter of {source}", rules, attributes)

    def _note_broken(self, what: str, rules: Mapping[str, bool], found: Mapping[str, Any]) -> None:
        self._report.wrong += [
            f"{what}: {name} is {found.get(name)!r}" for name, is_right in rules.items() if not is_right
        ]

    def _compare_item(self, request_id: str, item: Item, ending: Ending) -> None:
        self._compare(f"the item {request_id}", item, ending.item)
        created = datetime.fromisoformat(str(item.get("createdAt")))
        if item.get("ttl") != math.floor(created.timestamp()) + self._ttl_seconds:
            self._report.wrong.append(f"the item {request_id}: ttl does not follow from createdAt")
        extra = sorted(item.keys() - ending.item.keys())
        self._report.wrong += [f"the item {request_id}: {name} does not belong there" for name in extra]

    def _compare(self, what: str, found: Mapping[str, Any], allowed: Mapping[str, frozenset[Value]]) -> None:
        for name, values in allowed.items():
            if found.get(name) not in values:
                self._report.wrong.append(
                    f"{what}: {name} is {found.get(name)!r}, must be {' or '.join(map(repr, values))}"
                )
