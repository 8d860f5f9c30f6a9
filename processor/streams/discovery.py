"""Finds the table's streams and their shards, gives each shard its row, and removes old rows.

Every task does this for itself, at intervals that differ by chance: a stream with a hundred shards is one
call, so a fleet of ten tasks makes well under one call a second. Whatever happens, a task takes turns for
its listings, less than one a second.
"""

import random
import threading
from collections.abc import Callable, Generator, Iterable

from processor.aws.errors import AwsError, NotFound, Transient
from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metrics
from processor.streams.api import StreamApi
from processor.streams.clocks import Clocks
from processor.streams.gaps import Gap, GapReason, report_gap
from processor.streams.leases.lease import Lease, new_lease
from processor.streams.leases.table import LeaseTable
from processor.streams.lineage import parents_first, removable, streams_that_wait
from processor.streams.rate_limiter import RateLimiter
from processor.streams.shards import Listing, StreamName, Streams, StreamState, StreamStatus, by_age

LISTING_SECONDS = 1.0
"""The shortest time between two turns: DescribeStream may be called ten times a second, by everybody."""

CALLS_PER_SECOND = 5.0
"""DescribeStream calls of all workers together, for which each worker waits its share longer."""

PAGE_TRIES = 5
INTERVAL_SECONDS = 30.0
HURRY_SECONDS = 2.0
"""The interval while a shard has ended whose children are not listed yet."""
HURRY_FOR_SECONDS = 300.0
WAIT_SHOWN_SECONDS = 300.0
"""An earlier stream is read to its end in less, unless something holds it up."""

NEEDED_VIEW_TYPE = "NEW_AND_OLD_IMAGES"
_COMPONENT = "streams"
_WAITING = "stream order"


class Discovery:
    """Looks at the streams; `streams` is what is known, replaced as a whole after each look.

    Args:
        api: the streams.
        table: the leases table.
        status_table: the table whose streams are read.
        failover_seconds: how far apart two looks must be that prove a stream gone.
        listings: turns for DescribeStream, shared with the readers.
        metrics, health: where it reports.
        on_shards: called when there may be something new to read.
        clocks: all its times.
    """

    def __init__(
        self,
        api: StreamApi,
        table: LeaseTable,
        *,
        status_table: str,
        failover_seconds: float,
        listings: RateLimiter,
        metrics: Metrics,
        health: Health,
        on_shards: Callable[[], None] = lambda: None,
        clocks: Clocks | None = None,
    ) -> None:
        self._api = api
        self._table = table
        self._status_table = status_table
        self._failover_seconds = failover_seconds
        self._listings = listings
        self._metrics = metrics
        self._health = health
        self._on_shards = on_shards
        clocks = clocks or Clocks()
        self._clock = clocks.monotonic
        self._now = clocks.unix
        self._streams: Streams = {}
        self._missing_since: dict[str, float] = {}
        self._waiting_since: dict[str, float] = {}
        self._warned: set[str] = set()
        self._reported: set[str] = set()
        self._back_off = BackOff(1.0, INTERVAL_SECONDS)
        self._lock = threading.Lock()
        self._childless: dict[tuple[str, str], float] = {}
        self._listed_at = self._clock()
        self._has_turn = False
        self._running: Generator[float, None, None] | None = None
        self.wake = threading.Event()
        """Set when the next look should not wait any longer."""

    @property
    def streams(self) -> Streams:
        """What is known about each stream of the table, by ARN."""
        return self._streams

    @property
    def age_seconds(self) -> float:
        """How long ago the last complete listing of all streams began, or this task started."""
        return self._clock() - self._listed_at

    def expect_children(self, stream_arn: str, shard_id: str) -> None:
        """Looks often for a while: a shard has ended whose children are not listed yet."""
        with self._lock:
            self._childless[stream_arn, shard_id] = self._clock() + HURRY_FOR_SECONDS
        self.wake.set()

    def step(self) -> float:
        """Goes on with a look until its next call must wait for a turn.

        Returns:
            How long to wait before the next step (seconds).
        """
        try:
            if self._running is None:
                wait = self._listings.take()
                if wait > 0:
                    return wait
                self._running = self._look()
            wait = next(self._running, -1.0)
            if wait >= 0:
                return wait
            self._running = None
        except AwsError as error:
            self._running = None
            if self._back_off.failures == 0:
                get_logger().warning("discovery_failed", error=str(error))
            self._health.report(_COMPONENT, f"the table's streams cannot be listed ({error})")
            return self._back_off.failed()
        self._back_off.worked()
        if self._missing_since:
            return self._failover_seconds
        seconds = HURRY_SECONDS if self._still_childless() else INTERVAL_SECONDS
        return seconds * random.uniform(0.75, 1.25)

    def _look(self) -> Generator[float, None, None]:
        """One look at all streams; yields how long to wait before it goes on."""
        started = self._clock()
        leases = [lease for lease in self._table.scan() if belongs_to(lease, self._status_table)]
        listed, complete = self._api.list_streams(self._status_table)
        # The account may call DescribeStream ten times a second; all workers together take half of that.
        workers = len({lease.owner for lease in leases if lease.owner is not None and not lease.finished})
        self._listings.seconds = max(LISTING_SECONDS, workers / CALLS_PER_SECOND)
        states: dict[str, StreamState] = {}
        failure: AwsError | None = None
        self._has_turn = True
        ordered = by_age(listed | {lease.stream_arn for lease in leases})
        newest = by_age(listed)[-1] if listed else None
        for arn in ordered:
            rows = [lease for lease in leases if lease.stream_arn == arn]
            is_replaced = (
                complete and newest is not None and arn not in listed
                and ordered.index(arn) < ordered.index(newest)
            )  # fmt: skip
            try:
                states[arn] = yield from self._replaced(arn, rows) if is_replaced else self._present(arn)
            except AwsError as error:
                failure = failure or error
                states[arn] = self._streams.get(arn) or StreamState(arn)
        self._streams = states
        listings = [state.listing for state in states.values() if not state.gone]
        if (
            complete
            and failure is None
            and all(listing is not None and listing.complete for listing in listings)
        ):
            self._listed_at = started
        self._report_replaced(newest, {lease.stream_arn for lease in leases})
        self._report(states, newest)
        self._report_waiting(leases)
        self._create_rows(states.values(), leases)
        for lease in removable(leases, states, self._now()):
            if self._table.delete_finished(lease):
                get_logger().info("lease_removed", lease_key=lease.key)
        self._on_shards()
        if failure is not None:
            raise failure

    def _describe(self, arn: str) -> Generator[float, None, Listing]:
        """Lists a stream page by page, each in a turn; a page that fails is asked for again."""
        request = self._api.listing(arn)
        back_off = BackOff(1.0, INTERVAL_SECONDS)
        while True:
            if not self._has_turn and (wait := self._listings.take()) > 0:
                yield wait
                continue
            self._has_turn = False
            try:
                listing = request.next_page()
            except Transient:
                delay = back_off.failed()
                if back_off.failures >= PAGE_TRIES:
                    raise
                yield delay
                continue
            back_off.worked()
            if listing is not None:
                return listing

    def _present(self, arn: str) -> Generator[float, None, StreamState]:
        """A stream that should be there. If not, what is known of it stays (docs/invariants.md, law 6)."""
        try:
            listing = yield from self._describe(arn)
        except NotFound:
            self._missing_since.setdefault(arn, self._clock())
            known = self._streams.get(arn)
            return StreamState(arn, known.listing if known else None)
        self._missing_since.pop(arn, None)
        return StreamState(arn, listing)

    def _replaced(self, arn: str, rows: Iterable[Lease]) -> Generator[float, None, StreamState]:
        """An earlier stream that the table does not list any more: read it while AWS still has it.

        It is gone once it was missing at two looks, a failover time apart; its unread records are reported.
        """
        known = self._streams.get(arn)
        unread = [lease for lease in rows if not lease.finished and not lease.gap_reported]
        if unread and not (known and known.gone):
            state = yield from self._present(arn)
            since = self._missing_since.get(arn)
            if since is None or self._clock() - since < self._failover_seconds:
                return state
        self._missing_since.pop(arn, None)
        for lease in unread:
            if lease.key not in self._reported:
                self._reported.add(lease.key)
                report_gap(Gap(GapReason.STREAM_GONE, lease, lease.position), self._metrics, self._now())
            self._table.mark_gap_reported(lease)
        return StreamState(arn, gone=True)

    def _create_rows(self, states: Iterable[StreamState], leases: Iterable[Lease]) -> None:
        known = {lease.key for lease in leases}
        now = self._now()
        tracked_since = min((lease.tracked_since for lease in leases), default=now)
        for state in states:
            for shard in parents_first(state.listing) if state.listing else ():
                lease = new_lease(
                    state.stream_arn, shard.shard_id, shard.parents, now=now, tracked_since=tracked_since
                )
                if lease.key not in known and self._table.create(lease):
                    get_logger().info("shard_found", lease_key=lease.key)

    def _still_childless(self) -> bool:
        now = self._clock()
        with self._lock:
            self._childless = {
                (arn, shard_id): until
                for (arn, shard_id), until in self._childless.items()
                if until > now and not has_children(self._streams.get(arn), shard_id)
            }
            return bool(self._childless)

    def _report(self, states: Streams, newest: str | None) -> None:
        """Shows what is wrong with the streams, each thing in the log once."""
        problem = event = None
        listing = states[newest].listing if newest else None
        if self._missing_since:
            event, problem = "stream_missing", "a stream that is listed or has leases does not exist"
        elif newest is None:
            event, problem = "stream_missing", f"table {self._status_table} has no stream: nothing is audited"
        elif listing is not None and listing.status is StreamStatus.DISABLED:
            event, problem = "stream_disabled", "the table's stream is disabled: nothing new is audited"
        elif listing is not None and listing.view_type not in {None, NEEDED_VIEW_TYPE}:
            event = "stream_view_incomplete"
            problem = (
                f"the stream's view type must be {NEEDED_VIEW_TYPE}: audit entries lack the item's fields"
            )
        self._health.report(_COMPONENT, problem)
        if event and event not in self._warned:
            get_logger().error(event, table=self._status_table, problem=problem)
        self._warned = {event} if event else set()

    def _report_replaced(self, newest: str | None, known: set[str]) -> None:
        """Reports once that the table has a new stream, while lease rows know an earlier one only."""
        if newest is None or not known or newest in known or newest in self._reported:
            return
        self._reported.add(newest)
        old = by_age(frozenset(known))[-1]
        get_logger().warning("stream_replaced", old_stream_arn=old, new_stream_arn=newest)

    def _report_waiting(self, leases: Iterable[Lease]) -> None:
        """Shows a stream that is held back by an earlier one for long."""
        waiting, now = streams_that_wait(leases, self._streams, self._now()), self._clock()
        self._waiting_since = {arn: self._waiting_since.get(arn, now) for arn in waiting}
        long = sorted(arn for arn, since in self._waiting_since.items() if now - since >= WAIT_SHOWN_SECONDS)
        problem = None
        if long:
            problem = f"stream {long[0]} waits for stream {waiting[long[0]]} to be read to its end"
        self._health.report(_WAITING, problem)


def belongs_to(lease: Lease, status_table: str) -> bool:
    """Whether a row is about a stream of this table; a leases table may serve several."""
    try:
        return StreamName.of(lease.stream_arn).table == status_table
    except ValueError:
        return False


def has_children(state: StreamState | None, shard_id: str) -> bool:
    """Whether a shard's children are listed, or cannot come because the stream is over."""
    if state is None or state.gone:
        return True
    listing = state.listing
    return listing is not None and (
        listing.status is StreamStatus.DISABLED or bool(listing.children_of(shard_id))
    )
