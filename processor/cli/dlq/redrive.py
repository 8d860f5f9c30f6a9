"""Sends dead letters back to the event queue; deletes each only after that queue has accepted it.

An interruption loses nothing. At worst a letter is sent and still there; an event that is applied twice
changes nothing.
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
from processor.cli.dlq.browser import Browser
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.sending import Outgoing, batches, send_batch
from processor.cli.session import aws_errors

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class RedriveResult(Enum):
    """The result for a letter; the values are the keys of `dlq redrive --json`."""

    SENT = "sent"
    COPY_REMOVED = "copiesRemoved"
    EXPIRED = "expired"
    AUDIT_ENTRY = "auditEntries"
    REJECTED_AGAIN = "rejectedAgain"
    NOT_ASKED_FOR = "notAskedFor"
    REFUSED = "refused"
    NOT_ACCEPTED = "notAccepted"
    NOT_REMOVED = "notRemoved"
    CAME_BACK = "cameBack"


STAYS = frozenset(
    {
        RedriveResult.EXPIRED,
        RedriveResult.AUDIT_ENTRY,
        RedriveResult.REJECTED_AGAIN,
        RedriveResult.REFUSED,
        RedriveResult.NOT_ACCEPTED,
        RedriveResult.NOT_REMOVED,
    }
)
"""Results of requested letters that remain in the queue."""


NEVER_BY_DEFAULT = frozenset({Outcome.INVALID.value, Outcome.CONFLICT.value})
"""Outcomes that depend on the event alone, so that the service would reject the same event again."""


@dataclass(frozen=True, slots=True)
class RedriveOptions:
    """What the operator asked for.

    Attributes:
        outcomes: the outcomes to send; empty: all but those in `NEVER_BY_DEFAULT`.
        include_expired: whether to send events that can only end as `expired`.
        ttl_seconds: the TTL.
        fifo: whether the event queue is FIFO.
    """

    outcomes: frozenset[str]
    include_expired: bool
    ttl_seconds: int
    fifo: bool


def planned_result(letter: DeadLetter, options: RedriveOptions, now: datetime) -> RedriveResult:
    """Decides whether a letter is sent, or why it stays.

    Args:
        letter: a letter of the dead-letter queue.
        options: what the operator asked for.
        now: our clock.

    Returns:
        SENT, EXPIRED, AUDIT_ENTRY, REJECTED_AGAIN or NOT_ASKED_FOR.
    """
    if options.outcomes and letter.outcome not in options.outcomes:
        return RedriveResult.NOT_ASKED_FOR
    if letter.outcome == QUARANTINED:  # its body is not an event
        return RedriveResult.AUDIT_ENTRY
    if not options.outcomes and letter.outcome in NEVER_BY_DEFAULT:
        return RedriveResult.REJECTED_AGAIN
    if not options.include_expired and _is_expired(letter, options, now):
        return RedriveResult.EXPIRED
    return RedriveResult.SENT


def _is_expired(letter: DeadLetter, options: RedriveOptions, now: datetime) -> bool:
    """Whether the event could only end as `expired`.

    A body that is not an event does not expire: a corrected service may accept it.
    """
    try:
        event = decode(letter.message.body, now=now, sent_at=letter.message.sent_at, fifo=options.fifo)
    except InvalidEvent:
        return False
    return decide(event, None, now=now, ttl_seconds=options.ttl_seconds) is Outcome.EXPIRED


def copy_key(letter: DeadLetter) -> tuple[str, str]:
    """Equal for copies of one message: the service sends another copy when it cannot delete the original."""
    return letter.source_message_id, hashlib.sha256(letter.message.body.encode()).hexdigest()


def outgoing(letter: DeadLetter, *, fifo: bool) -> Outgoing:
    """The letter as the producer sent it: body, attributes, group and trace header.

    On a FIFO queue its deduplication id is that of no other letter.
    """
    group_id = letter.message.group_id
    return Outgoing(
        letter.message.body,
        group_id=group_id or letter.source_message_id if fifo else group_id,
        deduplication_id=f"redrive-{letter.message.message_id}" if fifo else None,
        attributes=letter.attributes,
        trace_header=letter.trace_header,
    )


@dataclass(slots=True)
class Redrive:
    """Redrives page by page.

    Args:
        browser: the letters.
        client: SQS.
        queue_url: the event queue.
        options: what the operator asked for.
        dry_run: send and delete nothing; then the counts are what would happen.

    Attributes:
        counts: the results so far.
    """

    browser: Browser
    client: "SQSClient"
    queue_url: str
    options: RedriveOptions
    dry_run: bool
    counts: Counter[RedriveResult] = field(default_factory=Counter)
    _sent_keys: set[tuple[str, str]] = field(default_factory=set)
    _sent_ids: set[str] = field(default_factory=set)

    def take(self, letters: Sequence[DeadLetter], now: datetime) -> None:
        """Sends and deletes the letters of a page that are to be sent.

        Raises:
            CommandFailed: if the event queue accepts nothing.
        """
        originals: dict[tuple[str, str], DeadLetter] = {}
        copies: list[DeadLetter] = []
        for letter in letters:
            if self._came_back(letter):
                self.counts[RedriveResult.CAME_BACK] += 1
                continue
            decided = planned_result(letter, self.options, now)
            if decided is not RedriveResult.SENT:
                self.counts[decided] += 1
            elif copy_key(letter) in self._sent_keys or copy_key(letter) in originals:
                copies.append(letter)
            else:
                originals[copy_key(letter)] = letter
        self._send(originals)
        done = [copy for copy in copies if copy_key(copy) in self._sent_keys]
        self.counts[RedriveResult.NOT_ACCEPTED] += len(copies) - len(done)
        self._remove(done, RedriveResult.COPY_REMOVED)

    def _came_back(self, letter: DeadLetter) -> bool:
        """Whether this letter is an event that this run has sent: it must not go round and round."""
        return bool({letter.source_message_id, letter.message.message_id} & self._sent_ids)

    def _send(self, originals: Mapping[tuple[str, str], DeadLetter]) -> None:
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
                self._sent_ids |= set(answers.done.values())
                sent = [of_batch[index] for index in sorted(answers.done)]
                self.counts[RedriveResult.REFUSED] += len(answers.refused)
                self.counts[RedriveResult.NOT_ACCEPTED] += len(of_batch) - len(sent) - len(answers.refused)
            self._sent_keys |= {copy_key(letter) for letter in sent}
            self._remove(sent, RedriveResult.SENT)

    def _remove(self, letters: Sequence[DeadLetter], removed: RedriveResult) -> None:
        undone = set() if self.dry_run or not letters else self.browser.delete(letters)
        self.counts[removed] += len(letters) - len(undone)
        self.counts[RedriveResult.NOT_REMOVED] += len(undone)
