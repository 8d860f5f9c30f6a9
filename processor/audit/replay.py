"""Reads the table's streams from their oldest record and puts their entries again, under the same ids.

For an operator whose consumers lost entries. A replay has no leases and no checkpoints, so it changes
nothing for the service. Both may run at once: DynamoDB allows two readers a shard.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TypeVar

from handlers.audit import AuditEntry
from handlers.expiry import audit_entry
from processor.audit.removals import source_of
from processor.audit.sinks.base import Put, Refusal, Sink, SinkUnavailable
from processor.aws.errors import NotFound, Transient, Trimmed
from processor.backoff import BackOff, retry
from processor.streams.api import Page, StreamApi, written_at
from processor.streams.cursor import Cursor
from processor.streams.missing_shard import MissingShardCheck
from processor.streams.rate_limiter import LISTING_SECONDS
from processor.streams.shards import Listing, Shard, ShardName, began_at, by_age

T = TypeVar("T")

READ_SECONDS = 0.25
"""Between two reads of a shard, as the service does."""

EMPTY_READS = 20
"""Empty answers in a row after which the replay has caught up with an open shard. The API does not say where
a shard's last record is, and it also gives empty answers before that."""

MAX_FAILURES = 8
"""Failures in a row, of a call or of a sink, after which the replay ends: about a minute."""

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 30.0

MISSING_SECONDS = 10.0
"""How long a shard is looked for; then its children are read, and its records are reported as trimmed."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of one page."""

    entries: int
    refused: tuple[tuple[str, Refusal], ...] = ()
    """The sinks' names with the entries that they refuse."""
    trimmed: bool = False
    """Records of this shard were trimmed before they could be read."""


class _Reading:
    """The state of reading one shard, from its oldest record to its end."""

    def __init__(self, api: StreamApi, listing: Listing, shard: Shard) -> None:
        self.stream_arn = listing.stream_arn
        self.parent_id = shard.parent_id
        self.is_closed = shard.ending_sequence_number is not None or bool(listing.children_of(shard.shard_id))
        self.source = source_of(listing.stream_arn, shard.shard_id)
        self.cursor = Cursor(api, ShardName(listing.stream_arn, shard.shard_id))
        self.missing = MissingShardCheck(api, shard.shard_id, MISSING_SECONDS, MISSING_SECONDS)
        self.back_off = BackOff(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS)
        self.next_read = 0.0
        self.empty_reads = 0
        self.ended = False


@dataclass(frozen=True)
class Replay:
    """Puts the entries of one table's streams again, from one moment to another.

    Args:
        api: the streams.
        sinks: each gets every entry; without sinks, entries are only counted.
        table: the status table's name.
        since: entries of earlier removals are left out.
        until: shards are read up to here; the service handles later records.
        wait: waits for some seconds, for example `Event().wait`.
        clock: seconds, from any start.
        on_retry: called with an error that came twice or more in a row, before the next try.
    """

    api: StreamApi
    sinks: Sequence[Sink]
    _: KW_ONLY
    table: str
    since: datetime
    until: datetime
    wait: Callable[[float], object]
    clock: Callable[[], float] = time.monotonic
    on_retry: Callable[[Exception], object] = lambda _error: None

    def pages(self) -> Iterator[Replayed]:
        """Replays page by page: older streams first, parents before children.

        Raises:
            NotFound: if the table has no stream.
            AwsError: if a stream cannot be read, at once or after a minute of transient failures.
            SinkUnavailable: if a sink is down for a minute.
            OSError: at once, if the sink is standard output and fails: its reader has left, the disk is full.
        """
        arns, _ = self._patiently(partial(self.api.list_streams, self.table))
        if not arns:
            raise NotFound("ListStreams", "no stream")
        for arn in by_age(arns):
            try:
                listing = self._listing(arn)
            except NotFound:  # it was disabled a day ago
                continue
            yield from self._stream(listing)

    @cached_property
    def _start(self) -> int:
        return math.floor(self.since.timestamp())  # records tell their time to the second

    def _patiently(self, ask: Callable[[], T]) -> T:
        return retry(
            ask,
            on=(Transient, SinkUnavailable),
            tries=MAX_FAILURES,
            wait=self.wait,
            back_off=BackOff(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS),
            on_retry=self.on_retry,
        )

    def _listing(self, stream_arn: str) -> Listing:
        """Lists a stream page by page, less than one call a second: the service lists it too."""
        request = self.api.listing(stream_arn)
        while (listing := self._patiently(request.next_page)) is None:
            self.wait(LISTING_SECONDS)
        return listing

    def _stream(self, listing: Listing) -> Iterator[Replayed]:
        readings = {shard.shard_id: _Reading(self.api, listing, shard) for shard in listing.shards.values()}
        for shard in listing.shards.values():
            if shard.parent_id in readings and (began_at(shard.shard_id) or self._start) < self._start:
                readings[shard.parent_id].ended = True  # its last record is older than its child
        while True:
            ready = [
                reading
                for reading in readings.values()
                if not reading.ended
                and (reading.parent_id not in readings or readings[reading.parent_id].ended)
            ]
            if not ready:
                return
            reading = min(ready, key=lambda each: each.next_read)
            self.wait(max(0.0, reading.next_read - self.clock()))
            yield self._read(reading)

    def _read(self, reading: _Reading) -> Replayed:
        reading.next_read = self.clock() + READ_SECONDS
        try:
            page = self._patiently(reading.cursor.read)
        except (Trimmed, NotFound) as error:
            reading.next_read = self.clock() + reading.back_off.failed()
            if reading.back_off.failures >= MAX_FAILURES:
                raise
            if isinstance(error, NotFound):
                reading.ended = self._is_gone(reading)
            return Replayed(0, trimmed=reading.ended or isinstance(error, Trimmed))
        if page is None:
            return Replayed(0)
        reading.missing.found()
        reading.back_off.worked()
        entries = self._entries(reading, page)
        refused = [refusal for sink in self.sinks if entries for refusal in self._put(sink, entries)]
        reading.cursor.move_past(page)
        reading.empty_reads = 0 if page.records else reading.empty_reads + 1
        is_past = (reading.cursor.position.written_at or 0.0) > self.until.timestamp()
        has_caught_up = not reading.is_closed and reading.empty_reads >= EMPTY_READS
        reading.ended = reading.cursor.ended or is_past or has_caught_up
        return Replayed(len(entries), tuple(refused))

    def _is_gone(self, reading: _Reading) -> bool:
        """Judges a new listing as the shard reader does, but waits seconds where that waits an hour."""
        try:
            listing = self._listing(reading.stream_arn)
        except NotFound:
            return True
        return reading.missing.judge(listing, self.until.timestamp()) is not None

    def _entries(self, reading: _Reading, page: Page) -> list[AuditEntry]:
        read_at = datetime.now(UTC)
        return [
            entry
            for record in page.records
            if self._start <= (written_at(record) or self._start)
            and (entry := audit_entry(record, source=reading.source, read_at=read_at)) is not None
        ]

    def _put(self, sink: Sink, entries: Sequence[AuditEntry]) -> list[tuple[str, Refusal]]:
        put = sink.begin(entries)
        self._patiently(partial(self._go_on, put))
        return [(sink.name, refusal) for refusal in put.refusals]

    def _go_on(self, put: Put) -> None:
        while True:
            try:
                return put.go_on(lambda: True)
            except SinkUnavailable as error:
                output = error.__cause__
                if isinstance(output, OSError) and not isinstance(output, BlockingIOError):
                    raise output from None
                if error.is_outage or error.retry_seconds is None:
                    raise
                self.wait(error.retry_seconds)
