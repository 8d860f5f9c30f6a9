"""Sends dead letters back to the event queue, each deleted only after that queue has taken it.

Whatever ends it, nothing is lost: at worst a letter is sent and still there, and an event that is applied
twice changes nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from handlers.transitions import Outcome, decide
from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.cli.dlq.browser import Walk
from processor.cli.dlq.letters import Letter
from processor.cli.sending import Outgoing, batches, send_batch
from processor.cli.session import aws_errors

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class Fate(Enum):
    """What becomes of a letter; the values are the keys of `dlq redrive --json`."""

    SENT = "sent"
    COPY_REMOVED = "copiesRemoved"
    EXPIRED = "expired"
    AUDIT_ENTRY = "auditEntries"
    NOT_ASKED_FOR = "notAskedFor"
    REFUSED = "refused"
    NOT_TAKEN = "notTaken"
    NOT_REMOVED = "notRemoved"
    CAME_BACK = "cameBack"


STAYS = frozenset({Fate.EXPIRED, Fate.AUDIT_ENTRY, Fate.REFUSED, Fate.NOT_TAKEN, Fate.NOT_REMOVED})
"""The letter is still there although it was asked for."""


@dataclass(frozen=True, slots=True)
class RedriveOptions:
    """What the operator asked for. No outcomes: all of them."""

    outcomes: frozenset[str]
    include_expired: bool
    ttl_seconds: int
    fifo: bool


def fate(letter: Letter, options: RedriveOptions, now: datetime) -> Fate:
    """Whether a letter is to be sent, or why it stays.

    Args:
        letter: what the dead-letter queue holds.
        options: what was asked for.
        now: our clock.

    Returns:
        SENT, EXPIRED, AUDIT_ENTRY or NOT_ASKED_FOR.
    """
    if options.outcomes and letter.outcome not in options.outcomes:
        return Fate.NOT_ASKED_FOR
    if letter.outcome == QUARANTINED:  # its body is no event
        return Fate.AUDIT_ENTRY
    if not options.include_expired and _is_expired(letter, options, now):
        return Fate.EXPIRED
    return Fate.SENT


def _is_expired(letter: Letter, options: RedriveOptions, now: datetime) -> bool:
    """Whether the event could only end as `expired`. What is no event does not expire: the code that
    rejected it may have been wrong."""
    try:
        event = decode(letter.message.body, now=now, sent_at=letter.message.sent_at, fifo=options.fifo)
    except InvalidEvent:
        return False
    return decide(event, None, now=now, ttl_seconds=options.ttl_seconds) is Outcome.EXPIRED


def copy_key(letter: Letter) -> tuple[str, str]:
    """The same for letters that are copies of one message: the service copies a message again when it could
    not delete the original in time."""
    return letter.source_message_id, hashlib.sha256(letter.message.body.encode()).hexdigest()


def outgoing(letter: Letter, *, fifo: bool) -> Outgoing:
    """The letter as an event: its body alone, none of its attributes. On a FIFO queue in its old group, with
    a deduplication id that the queue has not seen unless this very letter was sent before."""
    if not fifo:
        return Outgoing(letter.message.body)
    return Outgoing(
        letter.message.body,
        group_id=letter.message.group_id or letter.source_message_id,
        deduplication_id=f"redrive-{letter.message.message_id}",
    )


@dataclass(slots=True)
class Redrive:
    """Takes the pages of a walk. `counts` is always what has happened so far.

    `dry_run` sends and deletes nothing; the counts say what would happen.
    """

    walk: Walk
    client: "SQSClient"
    queue_url: str
    options: RedriveOptions
    dry_run: bool
    counts: Counter[Fate] = field(default_factory=Counter)
    _sent_keys: set[tuple[str, str]] = field(default_factory=set)
    _sent_ids: set[str] = field(default_factory=set)

    def take(self, letters: Sequence[Letter], now: datetime) -> None:
        """Sends and deletes what is to be sent of a page.

        Raises:
            CommandFailed: if the event queue takes nothing.
        """
        originals: dict[tuple[str, str], Letter] = {}
        copies: list[Letter] = []
        for letter in letters:
            if self._came_back(letter):
                self.counts[Fate.CAME_BACK] += 1
                continue
            decided = fate(letter, self.options, now)
            if decided is not Fate.SENT:
                self.counts[decided] += 1
            elif copy_key(letter) in self._sent_keys or copy_key(letter) in originals:
                copies.append(letter)
            else:
                originals[copy_key(letter)] = letter
        self._send(originals)
        done = [copy for copy in copies if copy_key(copy) in self._sent_keys]
        self.counts[Fate.NOT_TAKEN] += len(copies) - len(done)
        self._remove(done, Fate.COPY_REMOVED)

    def _came_back(self, letter: Letter) -> bool:
        """Whether this is what became of an event that we have just sent: not to be sent for ever."""
        return bool({letter.source_message_id, letter.message.message_id} & self._sent_ids)

    def _send(self, originals: Mapping[tuple[str, str], Letter]) -> None:
        letters = list(originals.values())
        start = 0
        for batch in batches([outgoing(letter, fifo=self.options.fifo) for letter in letters]):
            of_batch = letters[start : start + len(batch)]
            start += len(batch)
            if self.dry_run:
                sent = of_batch
            else:
                with aws_errors("the event queue"):
                    answers = send_batch(self.client, self.queue_url, batch)
                self._sent_ids |= set(answers.taken.values())
                sent = [of_batch[index] for index in sorted(answers.taken)]
                self.counts[Fate.REFUSED] += len(answers.refused)
                self.counts[Fate.NOT_TAKEN] += len(of_batch) - len(sent) - len(answers.refused)
            self._sent_keys |= {copy_key(letter) for letter in sent}
            self._remove(sent, Fate.SENT)

    def _remove(self, letters: Sequence[Letter], removed: Fate) -> None:
        undone = set() if self.dry_run or not letters else self.walk.delete(letters)
        self.counts[removed] += len(letters) - len(undone)
        self.counts[Fate.NOT_REMOVED] += len(undone)
