"""Reads the table's streams from their oldest record and puts their entries again, under the same ids.

For an operator whose consumers lost entries. A replay has no leases and no checkpoints, so it changes
nothing for the service. Both may run at once: DynamoDB allows two readers a shard.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from handlers.audit import AuditEntry
from handlers.expiry import ShardSource, audit_entry
from processor.audit.sinks.base import Refusal, Sink, SinkUnavailable
from processor.aws.errors import NotFound, Transient, Trimmed
from processor.backoff import BackOff
from processor.streams.api import MalformedPage, Page, StreamApi, written_at
from processor.streams.cursor import Cursor
from processor.streams.discovery import LISTING_SECONDS
from processor.streams.missing_shard import MissingShardCheck
from processor.streams.shards import Listing, Shard, ShardName, StreamName, began_at, by_age

T = TypeVar("T")

READ_SECONDS = 0.25
"""Between two reads of a shard, as the service does."""

EMPTY_READS = 20
"""Empty answers in a row after which the replay has caught up with an open shard. The API does not say where
a shard's last record is, and it also gives empty answers before that."""

MAX_FAILURES = 8
"""Failures in a row, of a shard or of a sink, after which the replay ends: about two minutes."""


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
        name = StreamName.of(listing.stream_arn)
        self.name = ShardName(listing.stream_arn, shard.shard_id)
        self.shard = shard
        self.is_closed = shard.ending_sequence_number is not None or any(
            other.parent_id == shard.shard_id for other in listing.shards.values()
        )
        self.source = ShardSource(name.table, name.region, listing.stream_arn, shard.shard_id)
        self.cursor = Cursor(api, self.name)
        self.missing = MissingShardCheck(api, shard.shard_id, MISSING_SECONDS, MISSING_SECONDS)
        self.next_read = 0.0
        self.empty_reads = 0
        self.back_off = BackOff(0.5, 30.0)
        self.ended = False


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

    def __init__(
        self,
        api: StreamApi,
        sinks: Sequence[Sink],
        *,
        table: str,
        since: datetime,
        until: datetime,
        wait: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
        on_retry: Callable[[Exception], object] = lambda _error: None,
    ) -> None:
        self._api = api
        self._sinks = sinks
        self._table = table
        self._since = math.floor(since.timestamp())  # records tell their time to the second
        self._until = until.timestamp()
        self._wait = wait
        self._clock = clock
        self._on_retry = on_retry

    def pages(self) -> Iterator[Replayed]:
        """Replays page by page: older streams first, parents before children.

        Raises:
            NotFound: if the table has no stream.
            AwsError: if a stream cannot be read, at once or after some minutes of transient failures.
            MalformedPage: if a stream's answers make no sense for some minutes.
            SinkUnavailable: if a sink is down for some minutes.
            OSError: at once, if the sink is standard output and fails: its reader has left, the disk is full.
        """
        arns, _ = self._patiently(lambda: self._api.list_streams(self._table))
        if not arns:
            raise NotFound("ListStreams", "no stream")
        for arn in by_age(arns):
            try:
                listing = self._listing(arn)
            except NotFound:  # it was disabled a day ago
                continue
            yield from self._stream(listing)

    def _listing(self, stream_arn: str) -> Listing:
        """Lists a stream page by page, less than one call a second: the service lists it too."""
        request = self._api.listing(stream_arn)
        while (listing := self._patiently(request.next_page)) is None:
            self._wait(LISTING_SECONDS)
        return listing

    def _patiently(self, ask: Callable[[], T]) -> T:
        back_off = BackOff(0.5, 30.0)
        while True:
            try:
                return ask()
            except Transient as error:
                self._wait(self._delay(back_off, error))

    def _delay(self, back_off: BackOff, error: Exception) -> float:
        """Counts a failure; returns how long to wait (seconds), or raises it if it is one too many."""
        delay = back_off.failed()
        if back_off.failures >= MAX_FAILURES:
            raise error
        if back_off.failures > 1:
            self._on_retry(error)
        return delay

    def _stream(self, listing: Listing) -> Iterator[Replayed]:
        readings = {shard.shard_id: _Reading(self._api, listing, shard) for shard in listing.shards.values()}
        for shard in listing.shards.values():
            if shard.parent_id in readings and (began_at(shard.shard_id) or self._since) < self._since:
                readings[shard.parent_id].ended = True  # its last record is older than its child
        while True:
            ready = [
                reading
                for reading in readings.values()
                if not reading.ended
                and (reading.shard.parent_id not in readings or readings[reading.shard.parent_id].ended)
            ]
            if not ready:
                return
            reading = min(ready, key=lambda each: each.next_read)
            self._wait(max(0.0, reading.next_read - self._clock()))
            yield self._read(reading)

    def _read(self, reading: _Reading) -> Replayed:
        reading.next_read = self._clock() + READ_SECONDS
        try:
            page = reading.cursor.read()
        except Trimmed as error:
            self._failed(reading, error)
            return Replayed(0, trimmed=True)
        except NotFound as error:
            return self._not_found(reading, error)
        except (Transient, MalformedPage) as error:
            self._failed(reading, error)
            return Replayed(0)
        if page is None:
            return Replayed(0)
        reading.missing.found()
        reading.back_off.worked()
        entries = self._entries(reading, page)
        refused = self._put(entries)
        self._advance(reading, page)
        return Replayed(len(entries), refused)

    def _not_found(self, reading: _Reading, error: NotFound) -> Replayed:
        """Judges a new listing as the shard reader does, but waits seconds where that waits an hour."""
        self._failed(reading, error)
        try:
            listing = self._listing(reading.name.stream_arn)
        except NotFound:
            reading.ended = True
        else:
            reading.ended = reading.missing.judge(listing, self._until) is not None
        return Replayed(0, trimmed=reading.ended)

    def _failed(self, reading: _Reading, error: Exception) -> None:
        reading.next_read = self._clock() + self._delay(reading.back_off, error)

    def _entries(self, reading: _Reading, page: Page) -> list[AuditEntry]:
        read_at = datetime.now(UTC)
        return [
            entry
            for record in page.records
            if self._since <= (written_at(record) or self._since)
            and (entry := audit_entry(record, source=reading.source, read_at=read_at)) is not None
        ]

    def _advance(self, reading: _Reading, page: Page) -> None:
        reading.cursor.move_past(page)
        reading.ended = reading.cursor.ended
        if page.records:
            reading.empty_reads = 0
            if (reading.cursor.position.written_at or 0.0) > self._until:
                reading.ended = True
            return
        reading.empty_reads += 1
        if not reading.is_closed and reading.empty_reads >= EMPTY_READS:
            reading.ended = True

    def _put(self, entries: Sequence[AuditEntry]) -> tuple[tuple[str, Refusal], ...]:
        if not entries:
            return ()
        return tuple((sink.name, refusal) for sink in self._sinks for refusal in self._insist(sink, entries))

    def _insist(self, sink: Sink, entries: Sequence[AuditEntry]) -> Sequence[Refusal]:
        back_off = BackOff(0.5, 30.0)
        put = sink.begin(entries)
        while True:
            try:
                put.go_on(lambda: True)
            except SinkUnavailable as error:
                output = error.__cause__
                if isinstance(output, OSError) and not isinstance(output, BlockingIOError):
                    raise output from None
                if error.is_outage or error.retry_seconds is None:
                    self._wait(self._delay(back_off, error))
                else:
                    self._wait(error.retry_seconds)
            else:
                return put.refusals
