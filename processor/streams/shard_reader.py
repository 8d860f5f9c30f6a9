"""Reads one shard: pages of records, the processor's work on them, the checkpoint behind it.

A reader is a sequence of short steps, each of which says how long to wait before the next one; nothing in
it waits. One page is in hand at a time, and the next is read when every sink has taken it, so memory is
bounded and the position is always the last record taken.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from processor.aws.errors import (
    AwsError,
    IteratorExpired,
    Misconfigured,
    NotFound,
    Rejected,
    Transient,
    Trimmed,
)
from processor.backoff import BackOff
from processor.observability.log import get_logger
from processor.streams.api import MalformedPage, Page, position_of
from processor.streams.context import ReaderContext
from processor.streams.leases.held import HeldLease, LeaseLost, LeaseNotTrusted, LeaseOver
from processor.streams.leases.lease import Position
from processor.streams.missing_shard import MissingShardCheck, StreamMissing
from processor.streams.page_budget import PAGE_BYTES, memory_of
from processor.streams.progress import Progress
from processor.streams.record_processor import Interrupted, Unavailable, Work
from processor.streams.shard_end import ShardEnd
from processor.streams.shards import ShardName

MIN_POLL_SECONDS = 0.25
"""Four reads a second a shard: DynamoDB allows five, and the next owner may be reading already."""

IDLE_POLL_SECONDS = 1.0
CHECKPOINT_SECONDS = 3.0
"""Taken entries are written into the row at most this often; other positions with the next renewal."""

BUDGET_POLL_SECONDS = 0.25
"""How often a reader asks for room for its next page."""

UNTRUSTED_POLL_SECONDS = 0.2
RELEASE_RETRY_SECONDS = 1.0
"""A leases table that comes back before a stop's deadline is used; the deadline bounds the tries."""

EXPECTED_FAILURES = 3
"""Failures in a row before a shard's trouble is shown: throttling and resets are everyday."""


@dataclass(frozen=True, slots=True)
class _StopRequest:
    give_up_at: float
    """Until when a page in hand may still be brought to the sinks (monotonic seconds)."""
    to: str | None


@dataclass(frozen=True, slots=True)
class _PageInHand:
    page: Page
    work: Work


class ShardReader:
    """Reads the shard of one held lease until its end, or until the lease is lost or given up.

    `step` is for one thread; `request_stop` and `behind_since` are for any.
    """

    def __init__(self, lease: HeldLease, context: ReaderContext) -> None:
        row = lease.row
        self.lease = lease
        self.wake: Callable[[], None] = _nothing
        """Called when the next step should not wait any longer."""
        self.beat: Callable[[], None] = _nothing
        """Called while a sink is at work, to show that it goes on."""
        self._context = context
        self._name = ShardName(row.stream_arn, row.shard_id)
        self._missing = MissingShardCheck(context.api, self._name, context.failover_seconds)
        self._iterator: str | None = None
        self._hand: _PageInHand | None = None
        self._end: ShardEnd | None = None
        self._stop: _StopRequest | None = None
        self._from_oldest = False
        self._progress = Progress(lease, context.metrics, context.clocks.unix)
        self._next_read_at = context.clocks.monotonic()
        self._idle_seconds = MIN_POLL_SECONDS
        self._progress_at = context.clocks.monotonic()
        self._durable_records = 0
        self._held_bytes = 0
        self._checkpoint_at = float("-inf")
        self._has_unwritten_entries = False
        self._reading = BackOff(0.5, 30.0)
        self._sinking = BackOff(0.5, 30.0)
        self._ending = BackOff(0.5, 30.0)
        self._trouble = f"shard {row.shard_id}"

    @property
    def progress_at(self) -> float:
        """When a page was last finished, in part or as a whole, or AWS answered about a missing shard."""
        return self._progress_at

    def request_stop(self, give_up_at: float, to: str | None = None) -> bool:
        """Asks the reader to finish the page in hand, write its checkpoint and give the lease up.

        Args:
            give_up_at: until when the sinks are waited for (monotonic seconds); then the page is left to
                the next owner.
            to: the worker to hand the lease to, if one asked for it.

        Returns:
            Whether this is the first request.
        """
        before = self._stop
        if before is None or give_up_at < before.give_up_at:
            self._stop = _StopRequest(give_up_at, before.to if before and before.to else to)
            self.wake()
        return before is None

    def behind_since(self) -> float | None:
        """Since when records may be unread (Unix seconds); None while the shard is read to its tip."""
        return self._progress.behind_since

    def step(self) -> float | None:
        """Does the next thing.

        Returns:
            How long to wait before the next step (seconds), or None once this reader is done.
        """
        delay = self._next_step()
        if delay is None:
            self._hand = None  # its work is dropped here, not when the collector comes
            self._give_back(self._held_bytes)
            self._progress.over()
            self._context.health.report(self._trouble, None)
        return delay

    def _next_step(self) -> float | None:
        try:
            if self.lease.over:
                return self._step_after_lease()
            if self._stop is not None:
                return self._step_to_stop(self._stop)
            if not self.lease.trusted():
                return self._wait_for_trust()
            if self._hand is not None:
                return self._deliver(self._hand)
            if self._end is not None:
                return self._step_to_end(self._end)
            return self._read()
        except LeaseNotTrusted:
            return self._wait_for_trust()
        except LeaseLost:
            get_logger().warning("lease_lost", lease_key=self.lease.row.key)
            return None
        except LeaseOver:
            return self._step_after_lease()

    def _wait_for_trust(self) -> float:
        """Nothing is read meanwhile, so the shard gets later, also where it was at its tip."""
        self._progress.not_read()
        self._progress_at = self._context.clocks.monotonic()  # no other worker would do better
        return UNTRUSTED_POLL_SECONDS

    def _read(self) -> float:
        started = self._context.clocks.monotonic()
        if started < self._next_read_at:
            return self._next_read_at - started
        started_at = self._context.clocks.unix()
        if not self._context.budget.reserve():
            return BUDGET_POLL_SECONDS
        self._held_bytes = PAGE_BYTES
        self._next_read_at = started + MIN_POLL_SECONDS
        try:
            return self._read_page(started, started_at)
        finally:
            if self._hand is None:
                self._give_back(self._held_bytes)

    def _give_back(self, size: int) -> None:
        self._held_bytes -= size
        self._context.budget.release(size)

    def _read_page(self, started: float, started_at: float) -> float:
        try:
            if self._iterator is None:
                self._iterator = self._open()
            page = self._context.api.page(self._iterator)
        except IteratorExpired:
            self._iterator = None
            return MIN_POLL_SECONDS
        except Trimmed:
            return self._restart_from_oldest()
        except NotFound as error:
            return self._look_for_shard(error)
        except (AwsError, MalformedPage) as error:
            return self._failed(error)
        self._reading.worked()
        self._missing.found()
        self._context.health.report(self._trouble, None)
        self._iterator = page.next_iterator
        return self._take_in_hand(page, started, started_at)

    def _open(self) -> str:
        row = self.lease.row
        return self._context.api.iterator(row.stream_arn, row.shard_id, self._position())

    def _position(self) -> Position:
        """Where an iterator made now begins."""
        return Position() if self._from_oldest else self.lease.taken

    def _take_in_hand(self, page: Page, started: float, started_at: float) -> float:
        """Begins the work on a page; the next step goes on with it."""
        from_oldest = self._position().sequence_number is None
        self._progress.page_read(page, from_oldest=from_oldest, started=started, started_at=started_at)
        if page.records:
            self._idle_seconds = MIN_POLL_SECONDS
        else:
            self._next_read_at = started + self._idle_pause()
        read_at = datetime.fromtimestamp(started_at, UTC)
        work = self._context.processor.begin(self._name, page.records, read_at)
        self._hand = _PageInHand(page, work)
        self._give_back(PAGE_BYTES - memory_of(page.records))
        return 0.0

    def _idle_pause(self) -> float:
        """Longer with each empty page, except in a closed shard, whose empty stretches come to an end."""
        row = self.lease.row
        state = self._context.stream_state(row.stream_arn)
        shard = state.listing.shards.get(row.shard_id) if state and state.listing else None
        if shard is not None and shard.ending_sequence_number is not None:
            return MIN_POLL_SECONDS
        self._idle_seconds = min(IDLE_POLL_SECONDS, self._idle_seconds * 2)
        return self._idle_seconds

    def _deliver(self, hand: _PageInHand) -> float:
        try:
            hand.work.go_on(self._may_continue)
        except Interrupted:
            return UNTRUSTED_POLL_SECONDS
        except Unavailable as unavailable:
            if hand.work.durable_records > self._durable_records:
                self._durable_records = hand.work.durable_records
                self._progress_at = self._context.clocks.monotonic()
            delay = unavailable.retry_seconds
            return self._sinking.failed() if delay is None else delay
        self._give_back(self._held_bytes)
        self._sinking.worked()
        self._progress_at, self._durable_records = self._context.clocks.monotonic(), 0
        self._hand = None
        if hand.page.records:
            self.lease.advance(hand.page.last_position())
            self._from_oldest = False
            self._progress.page_taken(hand.page)
        if hand.page.next_iterator is None:
            self._end = ShardEnd(self.lease, self._context)
            return 0.0
        self._has_unwritten_entries |= hand.work.has_effects
        if self._has_unwritten_entries:
            self._checkpoint()
        return max(0.0, self._next_read_at - self._context.clocks.monotonic())

    def _may_continue(self) -> bool:
        self.beat()
        stop = self._stop
        in_time = stop is None or self._context.clocks.monotonic() < stop.give_up_at
        return in_time and self.lease.trusted()

    def _checkpoint(self) -> None:
        now = self._context.clocks.monotonic()
        if now - self._checkpoint_at < CHECKPOINT_SECONDS or not self.lease.trusted():
            return
        self._checkpoint_at = now
        try:
            self.lease.renew()
        except AwsError as error:
            get_logger().warning("checkpoint_failed", lease_key=self.lease.row.key, error=str(error))
        else:
            self._has_unwritten_entries = False

    def _restart_from_oldest(self) -> float:
        """What comes after the position is trimmed: the oldest record that is left is next, and told."""
        self._iterator = None
        self._progress.trimmed()
        self._from_oldest = True
        return self._reading.failed()

    def _look_for_shard(self, error: NotFound) -> float:
        """The shard was not found, from which alone nothing follows (docs/invariants.md, law 6)."""
        self._iterator = None
        if self._context.listings.take() > 0:
            return self._wait_for_shard(error)
        try:
            missing = self._missing.look(self._context.clocks.unix())
        except StreamMissing:
            return self._failed(error)
        except AwsError as unanswered:
            return self._failed(unanswered)
        self._progress_at = self._context.clocks.monotonic()
        if missing is None:
            return self._wait_for_shard(error)
        if missing.gone:
            self._progress.shard_gone()
            self._end = ShardEnd(self.lease, self._context, missing.children)
            return 0.0
        if not self.lease.row.passed:
            try:
                self.lease.let_children_start()
            except AwsError as unanswered:
                return self._failed(unanswered)
            get_logger().error("shard_passed", lease_key=self.lease.row.key)
            self._context.on_shard_end()
        return self._failed(error)

    def _wait_for_shard(self, error: NotFound) -> float:
        delay = self._failed(error)
        return min(delay, self._context.failover_seconds / 2) if self._missing.is_absent else delay

    def _failed(self, error: AwsError | MalformedPage) -> float:
        """Backs off. What only an operator can mend is shown at once, the rest when it goes on."""
        row = self.lease.row
        self._progress.not_read()
        if not isinstance(error, Transient):
            self._iterator = None
        elif error.throttled:
            self._progress_at = self._context.clocks.monotonic()  # AWS answers, and so it would others
        is_news = self._reading.failures == 0
        if isinstance(error, Misconfigured | Rejected) or self._reading.failures >= EXPECTED_FAILURES:
            self._context.health.report(self._trouble, str(error) or type(error).__name__)
        if is_news:
            get_logger().warning(
                "shard_read_failed", shard_id=row.shard_id, stream_arn=row.stream_arn, error=str(error)
            )
        return self._reading.failed()

    def _step_to_end(self, end: ShardEnd) -> float | None:
        try:
            wait = end.step(self._context.stream_state(self.lease.row.stream_arn))
        except AwsError as error:
            if self._ending.failures == EXPECTED_FAILURES:
                get_logger().warning("shard_end_failed", lease_key=self.lease.row.key, error=str(error))
            return self._ending.failed()
        if wait is not None:
            return wait
        get_logger().info("shard_finished", lease_key=self.lease.row.key)
        self._context.on_shard_end()
        return None

    def _step_after_lease(self) -> float | None:
        """The shard's end may be in the row although no answer said so; another write has seen it there."""
        if self._end is not None and self.lease.row.finished:
            return self._step_to_end(self._end)
        return None

    def _step_to_stop(self, stop: _StopRequest) -> float | None:
        if self._hand is not None and self._may_continue():
            wait = self._deliver(self._hand)
            if self._hand is not None:
                return min(wait, max(0.0, stop.give_up_at - self._context.clocks.monotonic()))
        if self._hand is not None and (durable := self._hand.work.durable_records):
            self.lease.advance(position_of(self._hand.page.records[durable - 1]))
        try:
            self.lease.release(stop.to)
        except AwsError as error:
            get_logger().warning("lease_release_failed", lease_key=self.lease.row.key, error=str(error))
            return min(self._ending.failed(), RELEASE_RETRY_SECONDS)
        return self._step_after_lease()


def _nothing() -> None:
    """A reader that nobody watches has nobody to show its progress to."""
