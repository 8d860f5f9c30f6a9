"""Finds the table's streams and their shards, gives each shard its row, and removes old rows.

Every task does this for itself, at intervals that differ by chance: a stream with a hundred shards is one
call, so a fleet of ten tasks makes well under one call a second. Whatever happens, a task takes turns for
its listings, less than one a second.
"""

import random
from collections.abc import Generator, Iterable

from processor.aws.errors import AwsError, NotFound, Transient
from processor.backoff import BackOff
from processor.observability.log import get_logger
from processor.streams.context import EngineContext
from processor.streams.gaps import GapReason, report_gap
from processor.streams.leases.lease import Lease, new_lease
from processor.streams.lineage import parents_first, removable, streams_that_wait
from processor.streams.rate_limiter import LISTING_SECONDS
from processor.streams.shards import Listing, StreamName, StreamStatus, by_age

CALLS_PER_SECOND = 5.0
"""DescribeStream calls of all workers together, for which each worker waits its share longer."""

PAGE_TRIES = 5
INTERVAL_SECONDS = 30.0
HURRY_SECONDS = 2.0
"""The interval while a shard has ended whose children are not listed yet."""
WAIT_SHOWN_SECONDS = 300.0
"""An earlier stream is read to its end in less, unless something holds it up."""

NEEDED_VIEW_TYPE = "NEW_AND_OLD_IMAGES"
_COMPONENT = "streams"
_WAITING = "stream order"


class Discovery:
    """Looks at the streams; keeps what is known in `EngineContext.streams`.

    Args:
        context: what is shared.
    """

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._table = context.table
        self._status_table = context.settings.status_table
        self._health = context.health
        self._clock = context.clocks.monotonic
        self._missing_since: dict[str, float] = {}
        self._waiting_since: dict[str, float] = {}
        self._warned: str | None = None
        self._reported: set[str] = set()
        self._back_off = BackOff(1.0, INTERVAL_SECONDS)
        self._listed_at = self._clock()
        self._has_turn = False
        self._running: Generator[float, None, None] | None = None

    @property
    def age_seconds(self) -> float:
        """How long ago the last complete listing of all streams began, or this task started."""
        return self._clock() - self._listed_at

    def step(self) -> float:
        """Goes on with a look until its next call must wait for a turn.

        Returns:
            How long to wait before the next step (seconds).
        """
        try:
            if self._running is None:
                wait = self._context.listings.take()
                if wait > 0:
                    return wait
                self._running = self._look()
            pause = next(self._running, None)
            if pause is not None:
                return pause
            self._running = None
        except AwsError as error:
            self._running = None
            if self._back_off.failures == 0:
                get_logger().warning("discovery_failed", error=str(error))
            self._health.report(_COMPONENT, f"the table's streams cannot be listed ({error})")
            return self._back_off.failed()
        self._back_off.worked()
        if self._missing_since:
            return self._context.settings.failover_seconds
        seconds = HURRY_SECONDS if self._expects_children() else INTERVAL_SECONDS
        return seconds * random.uniform(0.75, 1.25)

    def _look(self) -> Generator[float, None, None]:
        """One look at all streams; yields how long to wait before it goes on."""
        started, api = self._clock(), self._context.api
        leases = [lease for lease in self._table.scan() if belongs_to(lease, self._status_table)]
        listed, complete = api.list_streams(self._status_table)
        # The account may call DescribeStream ten times a second; all workers together take half of that.
        workers = len({lease.owner for lease in leases if lease.owner is not None and not lease.finished})
        self._context.listings.seconds = max(LISTING_SECONDS, workers / CALLS_PER_SECOND)
        found: dict[str, Listing] = {}
        failure: AwsError | None = None
        self._has_turn = True
        known = frozenset(lease.stream_arn for lease in leases)
        newest = by_age(listed)[-1] if listed else None
        is_replaced = complete and newest is not None
        for arn in by_age(listed | known):
            is_replaced = is_replaced and arn != newest
            rows = [lease for lease in leases if lease.stream_arn == arn]
            try:
                # A stream without rows was never read; AWS may list it longer than it has it.
                gone = is_replaced and (arn not in listed or not rows)
                found[arn] = yield from self._replaced(arn, rows) if gone else self._present(arn)
            except AwsError as error:
                failure = failure or error
                found[arn] = self._known(arn)
        self._context.streams = found
        self._missing_since = {arn: at for arn, at in self._missing_since.items() if arn in found}
        self._report(found.get(newest or ""))
        self._report_replaced(newest, known)
        self._report_waiting(leases)
        self._create_rows(found.values(), leases)
        if complete and failure is None and all(listing.complete for listing in found.values()):
            self._listed_at = started
        for lease in removable(leases, found, self._context.clocks.unix()):
            if self._table.delete_finished(lease):
                get_logger().info("lease_removed", lease_key=lease.key)
        self._context.scan_now.set()
        if failure is not None:
            raise failure

    def _known(self, arn: str) -> Listing:
        return self._context.streams.get(arn) or Listing(arn, complete=False)

    def _describe(self, arn: str) -> Generator[float, None, Listing]:
        """Lists a stream page by page, each in a turn; a page that fails is asked for again."""
        request = self._context.api.listing(arn)
        back_off = BackOff(1.0, INTERVAL_SECONDS)
        while True:
            if not self._has_turn and (wait := self._context.listings.take()) > 0:
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

    def _present(self, arn: str) -> Generator[float, None, Listing]:
        """A stream that should be there. If not, what is known of it stays (docs/invariants.md, law 6)."""
        try:
            listing = yield from self._describe(arn)
        except NotFound:
            self._missing_since.setdefault(arn, self._clock())
            return self._known(arn)
        self._missing_since.pop(arn, None)
        return listing

    def _replaced(self, arn: str, rows: Iterable[Lease]) -> Generator[float, None, Listing]:
        """An earlier stream that is not listed any more, or was never read: read it while AWS still has it.

        It is gone once it was missing at two looks, a failover time apart; its unread records are reported.
        """
        unread = [lease for lease in rows if not lease.finished and not lease.gap_reported]
        if (unread or not rows) and not self._known(arn).gone:
            listing = yield from self._present(arn)
            since = self._missing_since.get(arn)
            if since is None or self._clock() - since < self._context.settings.failover_seconds:
                return listing
        self._missing_since.pop(arn, None)
        for lease in unread:
            if lease.key not in self._reported:
                self._reported.add(lease.key)
                gap = GapReason.STREAM_GONE, lease.position, lease
                metrics, now = self._context.metrics, self._context.clocks.unix()
                report_gap(*gap, first=None, metrics=metrics, now=now)
            self._table.mark_gap_reported(lease)
        return Listing(arn, status=StreamStatus.GONE)

    def _create_rows(self, found: Iterable[Listing], leases: Iterable[Lease]) -> None:
        known = {lease.key for lease in leases}
        now = self._context.clocks.unix()
        since = min((lease.tracked_since for lease in leases), default=now)
        for listing in found:
            for shard in parents_first(listing):
                lease = new_lease(
                    listing.stream_arn, shard.shard_id, shard.parents, now=now, tracked_since=since
                )
                if lease.key not in known and self._table.create(lease):
                    get_logger().info("shard_found", lease_key=lease.key)

    def _expects_children(self) -> bool:
        """Whether children are still to come: of a shard that ended lately, in a stream that is not over."""
        childless, now = self._context.childless, self._clock()
        for (arn, shard_id), until in list(childless.items()):
            listing = self._context.streams.get(arn)
            is_over = listing is None or listing.status is not StreamStatus.ENABLED
            if is_over or until <= now or (listing and listing.children_of(shard_id)):
                del childless[arn, shard_id]
        return bool(childless)

    def _report(self, newest: Listing | None) -> None:
        """Shows what is wrong with the streams, each thing in the log once."""
        problem = event = None
        if self._missing_since:
            event, problem = "stream_missing", "a stream that is listed or has leases does not exist"
        elif newest is None:
            event, problem = "stream_missing", f"table {self._status_table} has no stream: nothing is audited"
        elif newest.status is StreamStatus.DISABLED:
            event, problem = "stream_disabled", "the table's stream is disabled: nothing new is audited"
        elif newest.view_type not in {None, NEEDED_VIEW_TYPE}:
            event = "stream_view_incomplete"
            problem = (
                f"the stream's view type must be {NEEDED_VIEW_TYPE}: audit entries lack the item's fields"
            )
        self._health.report(_COMPONENT, problem)
        if event and event != self._warned:
            get_logger().error(event, table=self._status_table, problem=problem)
        self._warned = event

    def _report_replaced(self, newest: str | None, known: frozenset[str]) -> None:
        """Reports once that the table has a new stream, while lease rows know an earlier one only."""
        if newest is None or not known or newest in known or newest in self._reported:
            return
        self._reported.add(newest)
        old = by_age(known)[-1]
        get_logger().warning("stream_replaced", old_stream_arn=old, new_stream_arn=newest)

    def _report_waiting(self, leases: Iterable[Lease]) -> None:
        """Shows a stream that is held back by an earlier one for long."""
        waiting = streams_that_wait(leases, self._context.streams, self._context.clocks.unix())
        now = self._clock()
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
