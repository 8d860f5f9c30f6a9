"""Keeps what was sent and what was found, wave by wave, and compares a wave as soon as its exports are over.

A wave that is as it must be is forgotten but for the ids that may still be repeated, so that a long soak
needs little memory itself.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.faults.checker import DeadLetter, Delivered, Item, Observed, Report, check
from tests.faults.expected import DeletedByHand, Sent, expected
from tests.faults.run import SINKS
from tests.faults.traffic import TTL_SECONDS


@dataclass(slots=True)
class _Wave:
    messages: int
    due: float
    deadline: float
    sent: list[Sent] = field(default_factory=list)
    deletions: list[DeletedByHand] = field(default_factory=list)
    items: dict[tuple[str, int], Item] = field(default_factory=dict)
    audit: list[Delivered] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)


class Ledger:
    """What was sent and found so far; safe for several threads. Times are Unix seconds."""

    def __init__(self, ttl_seconds: int = TTL_SECONDS) -> None:
        """Takes the service's setting."""
        self._ttl_seconds = ttl_seconds
        self._lock = threading.Lock()
        self._open: dict[int, _Wave] = {}
        self._wave_of: dict[str, int] = {}
        self._repeatable: set[str] = set()
        """Audit ids and ids of dead-lettered messages of waves that are closed."""
        self._unknown: list[DeadLetter] = []
        self.report = Report()
        self.exports = 0
        """Of the waves that were compared, those that had an item."""
        self.messages = 0
        """Of the waves that were compared."""
        self.too_late = 0
        """Messages that the service settled only when their export had ended: nothing of them is recorded."""

    @property
    def open_waves(self) -> int:
        """How many waves are still to be compared."""
        with self._lock:
            return len(self._open)

    def open(self, seed: int, messages: int, *, due: float, deadline: float) -> None:
        """Begins a wave: how many messages it has, from when on it can be as it must be, and until when it
        has to be."""
        with self._lock:
            self._open[seed] = _Wave(messages, due, deadline)

    def note_sent(self, seed: int, sent: Sequence[Sent]) -> None:
        """The queue has accepted messages."""
        with self._lock:
            self._open[seed].sent += sent
            self._wave_of |= {each.message_id: seed for each in sent}

    def note_deleted(self, item: Item, at: float) -> None:
        """An item was deleted by hand."""
        with self._lock:
            key = str(item["requestId"])
            wave = self._open[_seed_of(key)]
            wave.items[key, 0] = item
            wave.deletions.append(DeletedByHand(key, at))

    def note_ended(self, items: Mapping[str, Item]) -> None:
        """Items are about to be deleted because they have expired; nothing changes them any more."""
        with self._lock:
            for key, item in items.items():
                wave = self._open.get(_seed_of(key))
                if wave is None:
                    self.report.wrong.append(f"{key} is in the table again after its end")
                    continue
                is_retold = any(deletion.request_id == key for deletion in wave.deletions)
                wave.items[key, int(is_retold)] = item

    def note_entries(self, entries: Iterable[Delivered]) -> None:
        """A sink holds audit entries."""
        with self._lock:
            for delivered in entries:
                wave = self._open.get(_seed_of(str(delivered.entry["requestId"])))
                if wave is not None:
                    wave.audit.append(delivered)
                elif delivered.entry["auditId"] not in self._repeatable:
                    self.report.wrong.append(
                        f"{delivered.sink} has another audit entry of {delivered.entry['requestId']}"
                    )

    def note_letters(self, letters: Iterable[DeadLetter]) -> None:
        """The dead-letter queue held messages."""
        with self._lock:
            # A letter may be found before the producer knows the id of its message: it is looked at again.
            found, self._unknown = [*self._unknown, *letters], []
            for letter in found:
                source = letter.attributes.get("sourceMessageId", "")
                wave = self._open.get(self._wave_of.get(source, -1))
                if wave is not None:
                    wave.letters.append(letter)
                elif source not in self._repeatable:
                    self._unknown.append(letter)

    def note_expired(self, message_ids: Iterable[str]) -> None:
        """The service logged these messages as later than their export's end."""
        with self._lock:
            for message_id in message_ids:
                wave = self._open.get(self._wave_of.get(message_id, -1))
                if wave is not None:
                    wave.expired.add(message_id)

    def close_waves(self, now: float) -> None:
        """Compares the waves that are due. One that is not yet as it must be has time until its deadline."""
        with self._lock:
            for seed, wave in list(self._open.items()):
                if wave.due <= now and len(wave.sent) == wave.messages:
                    found, too_late = self._compare(wave)
                    if found.is_clean or wave.deadline <= now:
                        self._close(seed, found, too_late)

    def close(self) -> None:
        """Compares all waves that are left, as they are."""
        with self._lock:
            for seed, wave in list(self._open.items()):
                self._close(seed, *self._compare(wave))
            self.report.unexplained += [
                f"message {letter.attributes.get('sourceMessageId')}: {letter.body[:60]!r}"
                for letter in self._unknown
            ]
            self._unknown = []

    def _compare(self, wave: _Wave) -> tuple[Report, int]:
        """What is not right, and how many messages came too late, which explains a part."""
        found = self._check(wave, wave.sent)
        if found.is_clean or not wave.expired:
            return found, 0
        lives = expected(wave.sent, wave.deletions, self._ttl_seconds).lives
        too_late = {
            each.message_id
            for each in wave.sent
            if each.message_id in wave.expired
            and each.event is not None
            and any(each.at < life.ends_at for life in lives[each.event["requestId"]])
        }
        # They count as if they had been sent when it was too late.
        sent = [replace(each, at=float("inf")) if each.message_id in too_late else each for each in wave.sent]
        return self._check(wave, sent), len(too_late)

    def _check(self, wave: _Wave, sent: Sequence[Sent]) -> Report:
        observed = Observed(wave.items, wave.letters, wave.audit, SINKS)
        return check(sent, wave.deletions, observed, self._ttl_seconds)

    def _close(self, seed: int, found: Report, too_late: int) -> None:
        wave = self._open.pop(seed)
        self.too_late += too_late
        self.report.lost += found.lost
        self.report.wrong += found.wrong
        self.report.unexplained += found.unexplained
        self.report.missing_audit += found.missing_audit
        self.messages += len(wave.sent)
        self.exports += len({key for key, _ in wave.items})
        self._repeatable |= {str(each.entry["auditId"]) for each in wave.audit}
        self._repeatable |= {each.attributes.get("sourceMessageId", "") for each in wave.letters}
        for each in wave.sent:
            del self._wave_of[each.message_id]


def _seed_of(request_id: str) -> int:
    """`tests.faults.traffic` calls exports `export-<seed>-<number>`; -1 for anything else."""
    _, _, rest = request_id.partition("export-")
    seed = rest.partition("-")[0]
    return int(seed) if seed.isdigit() else -1
