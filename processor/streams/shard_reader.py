"""Reads one shard: pages of records, the processor's work on them, the checkpoint behind it.

A reader is a sequence of short steps, each of which returns how long to wait before the next one; nothing in
it waits. It holds one page at a time. The next page is read once every sink has the entries of this one, so
memory is bounded, and the position is always the last record that the sinks have.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum

from processor.aws.errors import AwsError, Misconfigured, NotFound, Rejected, Transient, Trimmed
from processor.backoff import BackOff
from processor.observability.log import get_logger
from processor.streams.api import Page, position_of
from processor.streams.context import EngineContext
from processor.streams.cursor import Cursor
from processor.streams.leases.held import HeldLease, LeaseLost, LeaseNotTrusted, LeaseOver
from processor.streams.missing_shard import Missing, MissingShardCheck
from processor.streams.page_budget import memory_of
from processor.streams.progress import Progress
from processor.streams.record_processor import Blocked, Interrupted, Unavailable, Work
from processor.streams.shard_end import ShardEnd
from processor.streams.shards import Listing, ShardName

MIN_POLL_SECONDS = 0.25
"""Four reads a second a shard: DynamoDB allows five, and the next owner may be reading already."""

IDLE_POLL_SECONDS = 1.0
CHECKPOINT_SECONDS = 3.0
"""The position behind entries is written into the row at most this often, others with the next renewal."""

BUDGET_POLL_SECONDS = 0.25
"""How often a reader asks for room for its next page."""

UNTRUSTED_POLL_SECONDS = 0.2
RELEASE_RETRY_SECONDS = 1.0
"""A leases table that comes back before a stop's deadline is used; the deadline bounds the tries."""

EXPECTED_FAILURES = 3
"""Failures in a row before a shard's trouble is shown: throttling and resets are everyday."""


class Phase(Enum):
    """What a shard reader is doing; a step makes at most one move. `docs/architecture.md` has the diagram."""

    READING = "reading"  # the next page is to be read
    DELIVERING = "delivering"  # a page's work is under way
    BLOCKED = "blocked"  # an entry can go nowhere: nothing more is read, and the page is dropped
    ENDING = "ending"  # nothing more can be read: the children's rows and SHARD_END are to be written
    RELEASING = "releasing"  # the lease is to be released
    ENDED = "ended"  # the lease is released, finished or lost


class ShardReader:
    """Reads the shard of one held lease until its end, or until the lease is released or lost.

    `step` is for one thread; `request_stop` is for any.

    Args:
        lease: the lease.
        context: what is shared.

    Attributes:
        progress: how far it is.
        made_progress: set when a page is finished, in part or as a whole, when AWS answers about a missing
            shard, and where another worker would do no better; who judges the progress clears it.
        stalled_seconds: how long there was none, for the one who judges it.
        wake: called when the next step should not wait any longer.
        beat: called while a sink is at work, to show that the thread goes on.
    """

    def __init__(self, lease: HeldLease, context: EngineContext) -> None:
        row, now = lease.row, context.clocks.monotonic()
        self.lease = lease
        self.phase = Phase.READING
        self.progress = Progress(lease, context.metrics, context.clocks)
        self.made_progress = False
        self.stalled_seconds = 0.0
        self.wake: Callable[[], None] = lambda: None
        self.beat: Callable[[], None] = lambda: None
        self._context = context
        self._clock = context.clocks.monotonic
        self._name = ShardName(row.stream_arn, row.shard_id)
        self._cursor = Cursor(context.api, self._name, lease.delivered)
        self._missing = MissingShardCheck(context.api, row.shard_id, context.settings.failover_seconds)
        self._current: tuple[Page, Work] | None = None
        self._end = ShardEnd(lease, context)
        self._stop: tuple[float, str | None] | None = None
        self._next_read_at = now
        self._idle_seconds = MIN_POLL_SECONDS
        self._durable_records = 0
        self._checkpoint_at = float("-inf")
        self._has_unwritten_entries = False
        self._reading = BackOff(0.5, 30.0)
        self._sinking = BackOff(0.5, 30.0)
        self._ending = BackOff(0.5, 30.0)
        self._trouble = f"shard {row.shard_id}"

    def request_stop(self, give_up_at: float, to: str | None = None) -> bool:
        """Asks the reader to finish its page, write its checkpoint and release the lease.

        Args:
            give_up_at: until when the sinks are waited for (monotonic seconds); then the page is left to
                the next owner.
            to: the worker to hand the lease to, if one asked for it.

        Returns:
            Whether this is the first request.
        """
        before = self._stop
        if before is None or give_up_at < before[0]:
            self._stop = give_up_at, (before and before[1]) or to
            self.wake()
        return before is None

    def step(self) -> float | None:
        """Does the next thing.

        Returns:
            How long to wait before the next step (seconds), or None once this reader has ended.
        """
        delay = self._next_step()
        if delay is None:
            self.phase = Phase.ENDED
            self._current = None  # its work is dropped here, not when the collector comes
            self.progress.behind_since = None
            self._context.health.report(self._trouble, None)
        if self._current is None:
            self._context.budget.keep(self, 0)
        return delay

    def _next_step(self) -> float | None:
        try:
            if self.lease.over:
                return self._step_after_lease()
            if self._stop is not None:
                return self._step_to_stop(*self._stop)
            if not self.lease.trusted():
                return self._wait_for_trust()
            if self._current is not None:
                return self._deliver(*self._current)
            if self.phase is Phase.ENDING:
                return self._step_to_end()
            if self.phase is Phase.BLOCKED:
                return IDLE_POLL_SECONDS
            return self._read()
        except LeaseNotTrusted:
            return self._wait_for_trust()
        except LeaseLost:
            get_logger().warning("lease_lost", lease_key=self.lease.row.key)
            return None
        except LeaseOver:
            return self._step_after_lease()

    def _wait_for_trust(self) -> float:
        """Nothing is read until then, so the shard gets later, also where the reader was caught up."""
        self.progress.not_read()
        self.made_progress = True  # no other worker would do better
        return UNTRUSTED_POLL_SECONDS

    def _read(self) -> float:
        started, started_at = self._clock(), self._context.clocks.unix()
        if started < self._next_read_at:
            return self._next_read_at - started
        if not self._context.budget.reserve(self):
            return BUDGET_POLL_SECONDS
        self._next_read_at = started + MIN_POLL_SECONDS
        try:
            page = self._cursor.read()
        except Trimmed:
            self.progress.trimmed()
            return self._reading.failed()
        except NotFound as error:
            return self._shard_not_found(error, started)
        except AwsError as error:
            return self._failed(error)
        if page is None:
            return MIN_POLL_SECONDS
        self._reading.worked()
        self._missing.found()
        self._context.health.report(self._trouble, None)
        from_oldest = self._cursor.position.sequence_number is None
        self.progress.page_read(page, from_oldest=from_oldest, started=started, started_at=started_at)
        if page.records:
            self._idle_seconds = MIN_POLL_SECONDS
        else:
            self._next_read_at = started + self._idle_pause()
        read_at = datetime.fromtimestamp(started_at, UTC)
        self._current = page, self._context.processor.begin(self._name, page.records, read_at)
        self._context.budget.keep(self, memory_of(page.records))
        self.phase = Phase.DELIVERING
        return 0.0

    def _listing(self) -> Listing | None:
        return self._context.streams.get(self._name.stream_arn)

    def _idle_pause(self) -> float:
        """Longer with each empty page, except in a closed shard, whose empty stretches come to an end."""
        listing = self._listing()
        shard = listing.shards.get(self._name.shard_id) if listing else None
        if shard is not None and shard.ending_sequence_number is not None:
            return MIN_POLL_SECONDS
        self._idle_seconds = min(IDLE_POLL_SECONDS, self._idle_seconds * 2)
        return self._idle_seconds

    def _deliver(self, page: Page, work: Work) -> float:
        try:
            work.go_on(self._may_continue)
        except Interrupted:
            return UNTRUSTED_POLL_SECONDS
        except Blocked as blocked:
            # The page would hold memory that other readers need.
            self._advance_in(page, work)
            self._current, self.phase = None, Phase.BLOCKED
            self._context.health.report(self._trouble, str(blocked))
            return IDLE_POLL_SECONDS
        except Unavailable as unavailable:
            if work.durable_records > self._durable_records:
                self._durable_records, self.made_progress = work.durable_records, True
            delay = unavailable.retry_seconds
            return self._sinking.failed() if delay is None else delay
        self._sinking.worked()
        self.made_progress, self._durable_records = True, 0
        self._current = None
        self._cursor.move_past(page)
        if page.records:
            self.lease.delivered = self._cursor.position
            self.progress.behind_since = self._cursor.position.written_at
        if self._cursor.ended:
            self.phase = Phase.ENDING
            return 0.0
        self.phase = Phase.READING
        self._has_unwritten_entries |= work.has_effects
        if self._has_unwritten_entries:
            self._checkpoint()
        return max(0.0, self._next_read_at - self._clock())

    def _advance_in(self, page: Page, work: Work) -> None:
        """Moves behind as much of a page as is durable."""
        if work.durable_records:
            self.lease.delivered = position_of(page.records[work.durable_records - 1])

    def _may_continue(self) -> bool:
        self.beat()
        in_time = self._stop is None or self._clock() < self._stop[0]
        return in_time and self.lease.trusted()

    def _checkpoint(self) -> None:
        now = self._clock()
        if now - self._checkpoint_at < CHECKPOINT_SECONDS or not self.lease.trusted():
            return
        self._checkpoint_at = now
        try:
            self.lease.renew()
        except AwsError as error:
            get_logger().warning("checkpoint_failed", lease_key=self.lease.row.key, error=str(error))
        else:
            self._has_unwritten_entries = False

    def _shard_not_found(self, error: NotFound, at: float) -> float:
        """Judges the stream's listings: from one error nothing follows (docs/invariants.md, law 6)."""
        delay = self._failed(error)
        if self._missing.missed(at):
            self._context.look_now.set()
        listing = self._listing()
        if listing is not None and self._missing.is_news(listing):
            try:
                missing = self._missing.judge(listing, self._context.clocks.unix())
                if missing is Missing.GONE:
                    self.progress.shard_gone()
                    children = listing.children_of(self._name.shard_id)
                    self._end = ShardEnd(self.lease, self._context, children)
                    self.phase = Phase.ENDING
                    return 0.0
                if missing is Missing.PASSED and not self.lease.row.passed:
                    self.lease.let_children_start()
                    get_logger().error("shard_passed", lease_key=self.lease.row.key)
                    self._context.scan_now.set()
            except AwsError:
                return delay
            self.made_progress = True
        return min(delay, self._context.settings.failover_seconds / 2) if self._missing.is_absent else delay

    def _failed(self, error: AwsError) -> float:
        """Backs off. What only an operator can repair is shown at once, the rest when it goes on."""
        self.progress.not_read()
        if isinstance(error, Transient) and error.throttled:
            self.made_progress = True  # AWS answers, and so it would others
        is_news = self._reading.failures == 0
        if isinstance(error, Misconfigured | Rejected) or self._reading.failures >= EXPECTED_FAILURES:
            self._context.health.report(self._trouble, str(error))
        if is_news:
            shard = {"shard_id": self._name.shard_id, "stream_arn": self._name.stream_arn}
            get_logger().warning("shard_read_failed", **shard, error=str(error))
        return self._reading.failed()

    def _step_to_end(self) -> float | None:
        try:
            wait = self._end.step()
        except AwsError as error:
            if self._ending.failures == EXPECTED_FAILURES:
                get_logger().warning("shard_end_failed", lease_key=self.lease.row.key, error=str(error))
            return self._ending.failed()
        if wait is not None:
            return wait
        get_logger().info("shard_finished", lease_key=self.lease.row.key)
        self._context.scan_now.set()
        return None

    def _step_after_lease(self) -> float | None:
        """The shard's end may be in the row although no answer showed it: another write has found it."""
        return self._step_to_end() if self.lease.row.finished else None

    def _step_to_stop(self, give_up_at: float, to: str | None) -> float | None:
        if self.phase is not Phase.RELEASING:
            if self._current is not None and self._may_continue():
                wait = self._deliver(*self._current)
                left = max(0.0, give_up_at - self._clock())
                return 0.0 if self._current is None else min(wait, left)
            self.phase = Phase.RELEASING
            return 0.0
        if self._current is not None:
            self._advance_in(*self._current)
        try:
            self.lease.release(to)
        except AwsError as error:
            get_logger().warning("lease_release_failed", lease_key=self.lease.row.key, error=str(error))
            return min(self._ending.failed(), RELEASE_RETRY_SECONDS)
        return self._step_after_lease()
