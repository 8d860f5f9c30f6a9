"""How a shard stands between its reads: since when records may be unread, and which of them are lost."""

from dataclasses import replace

from processor.observability.metrics import Metrics
from processor.streams.api import Page, position_of
from processor.streams.clocks import Clocks
from processor.streams.gaps import GapReason, report_gap
from processor.streams.leases.held import HeldLease
from processor.streams.leases.lease import Lease, Position
from processor.streams.shards import RETENTION_HOURS, began_at

GAP_WAIT_SECONDS = 10.0
"""How long a gap waits for the first record behind it, which its report names; empty pages may come first."""

MAX_SHARD_HOURS = 30 * 24.0
"""Shards take records for some hours; an id that shows more than this does not mean a time."""

MARGIN_HOURS = 0.1
"""DynamoDB trims when it suits it: so close to the end of retention a record may be gone already."""


class Progress:
    """Keeps how far the one reader of a shard is, and reports what is lost.

    Args:
        lease: the shard's lease.
        metrics: counts gaps.
        clocks: for the wall clock.
    """

    def __init__(self, lease: HeldLease, metrics: Metrics, clocks: Clocks) -> None:
        self._lease = lease
        self._metrics = metrics
        self._now = clocks.unix
        self.behind_since: float | None = read_until(lease.row)
        """Since when records may be unread (Unix seconds); None while the reader is caught up, or over."""
        self._caught_up_at = self._now()
        self._gap: tuple[GapReason, Position] | None = None
        # Since when this run of reads goes on (monotonic seconds), None before its first one.
        self._reading_since: float | None = None

    def page_read(self, page: Page, *, from_oldest: bool, started: float, started_at: float) -> None:
        """Takes in a page.

        Args:
            page: what the read gave.
            from_oldest: whether an iterator made now would begin at the oldest record that is left, and so
                would not say what is missing before it.
            started: when the read began (monotonic seconds).
            started_at: the same in Unix seconds.
        """
        if self._reading_since is None:
            self._reading_since = started
            if start_may_be_trimmed(self._lease.row, started_at):
                self._open(GapReason.UNREAD, Position(None, shard_began(self._lease.row)))
        elif from_oldest and outlives_retention(started_at - self._caught_up_at):
            self._reading_since = started
            self._open(GapReason.UNREAD, replace(self._lease.delivered, written_at=self._caught_up_at))
        if page.records:
            first = position_of(page.records[0])
            self._report(first)
            self.behind_since = first.written_at or started_at
            return
        if page.next_iterator is None or started - self._reading_since > GAP_WAIT_SECONDS:
            self._report(None)
        self.behind_since, self._caught_up_at = None, started_at
        self._lease.read_until = started_at

    def not_read(self) -> None:
        """Notes that nothing can be read now: what came since the reader was caught up is unread."""
        if self.behind_since is None:
            self.behind_since = self._caught_up_at

    def trimmed(self) -> None:
        """Notes that the records behind the last delivered one are gone, up to the oldest that is left."""
        if self._lease.delivered.sequence_number is not None:
            self._open(GapReason.TRIMMED, self._lease.delivered)
        self._reading_since = None

    def shard_gone(self) -> None:
        """Reports that everything behind the last finished record is lost, with the shard.

        A shard that was never read and is gone minutes after the table was first followed held only records
        from before, which are not missed.
        """
        delivered = self._lease.delivered
        if delivered.sequence_number is not None or is_followed_for_long(self._lease.row, self._now()):
            self._open(GapReason.SHARD_GONE, delivered)
        self._report(None)

    def _open(self, reason: GapReason, last: Position) -> None:
        self._gap = self._gap or (reason, last)

    def _report(self, first: Position | None) -> None:
        if self._gap is not None:
            report_gap(*self._gap, self._lease.row, first=first, metrics=self._metrics, now=self._now())
            self._gap = None


def start_may_be_trimmed(lease: Lease, now: float) -> bool:
    """Whether a shard that was never read from may have lost its first records by now (Unix seconds).

    TRIM_HORIZON gives the oldest record that is left and does not say what is missing. What was trimmed
    before the table was first followed is not missed, everything after that is.
    """
    return (
        lease.position.sequence_number is None
        and outlives_retention(now - shard_began(lease))
        and is_followed_for_long(lease, now)
    )


def is_followed_for_long(lease: Lease, now: float) -> bool:
    """Whether the table was followed before the last minutes: what was trimmed until then is not missed."""
    return _hours(now - lease.tracked_since) > MARGIN_HOURS


def outlives_retention(seconds: float) -> bool:
    """Whether a record of this age may be trimmed."""
    return _hours(seconds) > RETENTION_HOURS - MARGIN_HOURS


def read_until(lease: Lease) -> float:
    """Until when a shard was read, as its row shows (Unix seconds); before the first read, when it began."""
    written_at, caught_up_at = lease.position.written_at, lease.read_until
    if written_at is None and caught_up_at is None:
        return max(shard_began(lease), lease.tracked_since)
    return max(written_at or 0.0, caught_up_at or 0.0)


def shard_began(lease: Lease) -> float:
    """When a shard began (Unix seconds): by its id or, where that tells no time, by when its row was made."""
    began = began_at(lease.shard_id)
    if began is None or _hours(lease.created_at - began) > MAX_SHARD_HOURS:
        return lease.created_at
    return began


def _hours(seconds: float) -> float:
    return seconds / 3_600
