"""The command `dlq redrive`: sends letters back; deletes each only after the event queue has accepted it.

An interruption loses nothing. At worst a letter is sent and still there; an event that is applied twice
changes nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from handlers.transitions import Outcome, decide
from processor.audit.quarantine import OUTCOME as QUARANTINED
from processor.cli.dlq.browser import Browser
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.queue import EventOutcomes, browsing, messages, report_out_of_reach
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import json_line
from processor.cli.sending import Outgoing, send
from processor.cli.session import aws_errors, connect

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class RedriveResult(Enum):
    """The result for a letter.

    Attributes:
        key: its name in `dlq redrive --json`.
        stays: whether a requested letter remains in the queue: exit status 1.
        text: what the command says about these letters.
    """

    SENT = ("sent", False, "")
    COPY_REMOVED = ("copiesRemoved", False, "more were copies of these, and were removed")
    EXPIRED = ("expired", True, "stay, expired: --include-expired sends them too")
    AUDIT_ENTRY = ("auditEntries", True, "stay, quarantined audit entries: they are not events")
    REJECTED_AGAIN = (
        "rejectedAgain",
        True,
        "stay, the same event would be rejected again: see --outcome and dlq drop",
    )
    NOT_ASKED_FOR = ("notAskedFor", False, "stay, of other outcomes")
    REFUSED = ("refused", True, "stay, the event queue refuses them: see its maximum message size")
    NOT_ACCEPTED = (
        "notAccepted",
        True,
        "stay, the event queue did not accept them this time: run this again",
    )
    NOT_REMOVED = ("notRemoved", True, "were sent, but are still here: sending them again is harmless")
    CAME_BACK = ("cameBack", False, "came back: rejected again")

    def __init__(self, key: str, stays: bool, text: str) -> None:
        self.key = key
        self.stays = stays
        self.text = text


NEVER_BY_DEFAULT = frozenset({Outcome.INVALID.value, Outcome.CONFLICT.value})
"""Outcomes that depend on the event alone, so that the service would reject the same event again."""


def redrive(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, change nothing")] = False,
    outcome: EventOutcomes = None,
    include_expired: Annotated[bool, typer.Option("--include-expired", help="send what has expired")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Send rejected events back to the event queue.

    It sends the body with the producer's attributes, and copies of one message once. A message leaves the
    dead-letter queue only after the event queue has accepted it. What stays is counted: exit status 1.

    Expired events stay, quarantined audit entries, and without --outcome also `invalid` and `conflict`: the
    service would reject the same event again.

    Example: export-status dlq redrive --dry-run --outcome early
    """
    settings, aws = connect()
    queue_url = settings.required_queue_url()
    with browsing(settings, aws) as browser:
        redriving = Redrive(
            browser,
            aws.sqs(),
            queue_url,
            outcomes=frozenset(outcome or ()),
            include_expired=include_expired,
            ttl_seconds=settings.ttl_seconds,
            dry_run=dry_run,
        )
        try:
            browser.visit("looking" if dry_run else "sending back", redriving.take)
        finally:  # also after an interruption
            _report(redriving.counts, dry_run, as_json=as_json)
    report_out_of_reach(browser)
    if any(redriving.counts[result] for result in RedriveResult if result.stays):
        raise typer.Exit(EXIT_FAILED)


def _report(counts: Mapping[RedriveResult, int], dry_run: bool, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_line({"dryRun": dry_run} | {each.key: counts[each] for each in RedriveResult}))
        return
    typer.echo(f"{'would send' if dry_run else 'sent'} back {messages(counts[RedriveResult.SENT])}")
    for result in RedriveResult:
        if counts[result] and result.text:
            typer.echo(f"  {counts[result]} {result.text}")


@dataclass(slots=True)
class Redrive:
    """Redrives page by page.

    Args:
        browser: the letters.
        client: SQS.
        queue_url: the event queue.
        outcomes: the outcomes to send; empty: all but those in `NEVER_BY_DEFAULT`.
        include_expired: whether to send events that can only end as `expired`.
        ttl_seconds: the TTL.
        dry_run: send and delete nothing; then the counts are what would happen.

    Attributes:
        counts: the results so far.
    """

    browser: Browser
    client: "SQSClient"
    queue_url: str
    outcomes: frozenset[str]
    include_expired: bool
    ttl_seconds: int
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
            stays = self._reason_to_stay(letter, now)
            if stays is not None:
                self.counts[stays] += 1
            elif _copy_key(letter) in self._sent_keys or _copy_key(letter) in originals:
                copies.append(letter)
            else:
                originals[_copy_key(letter)] = letter
        self._send(list(originals.values()))
        done = [copy for copy in copies if _copy_key(copy) in self._sent_keys]
        self.counts[RedriveResult.NOT_ACCEPTED] += len(copies) - len(done)
        self._remove(done, RedriveResult.COPY_REMOVED)

    def _reason_to_stay(self, letter: DeadLetter, now: datetime) -> RedriveResult | None:
        # What this run has sent must not go round and round.
        if {letter.source_message_id, letter.message.message_id} & self._sent_ids:
            return RedriveResult.CAME_BACK
        if self.outcomes and letter.outcome not in self.outcomes:
            return RedriveResult.NOT_ASKED_FOR
        if letter.outcome == QUARANTINED:  # its body is not an event
            return RedriveResult.AUDIT_ENTRY
        if not self.outcomes and letter.outcome in NEVER_BY_DEFAULT:
            return RedriveResult.REJECTED_AGAIN
        if not self.include_expired and self._is_expired(letter, now):
            return RedriveResult.EXPIRED
        return None

    def _is_expired(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether the event could only end as `expired`.

        A body that is not an event does not expire: a corrected service may accept it.
        """
        try:
            event = decode(letter.message.body, now=now, sent_at=letter.message.sent_at, fifo=self._fifo)
        except InvalidEvent:
            return False
        return decide(event, None, now=now, ttl_seconds=self.ttl_seconds) is Outcome.EXPIRED

    @property
    def _fifo(self) -> bool:
        return self.queue_url.endswith(".fifo")

    def _send(self, letters: Sequence[DeadLetter]) -> None:
        if self.dry_run:
            self._remove(letters, RedriveResult.SENT)
            return
        with aws_errors("the event queue"):
            for run, answers in send(self.client, self.queue_url, [self._outgoing(each) for each in letters]):
                self._sent_ids |= set(answers.done.values())
                self.counts[RedriveResult.REFUSED] += len(answers.refused)
                self.counts[RedriveResult.NOT_ACCEPTED] += len(answers.left)
                sent = [letters[run.start + index] for index in sorted(answers.done)]
                self._remove(sent, RedriveResult.SENT)

    def _outgoing(self, letter: DeadLetter) -> Outgoing:
        """The letter as the producer sent it; on a FIFO queue its deduplication id is that of no other."""
        found = letter.outgoing()
        if not self._fifo:
            return found
        group_id = found.group_id or letter.source_message_id
        return replace(found, group_id=group_id, deduplication_id=f"redrive-{letter.message.message_id}")

    def _remove(self, letters: Sequence[DeadLetter], removed: RedriveResult) -> None:
        self._sent_keys |= {_copy_key(letter) for letter in letters}
        undone = 0 if self.dry_run or not letters else self.browser.delete(letters)
        self.counts[removed] += len(letters) - undone
        self.counts[RedriveResult.NOT_REMOVED] += undone


def _copy_key(letter: DeadLetter) -> tuple[str, str]:
    """Equal for copies of one message: the service sends another copy when it cannot delete the original."""
    return letter.source_message_id, hashlib.sha256(letter.message.body.encode()).hexdigest()
