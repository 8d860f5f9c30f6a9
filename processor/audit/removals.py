"""The record processor of the audit: REMOVE records become audit entries, and those go to every sink."""

import math
from collections.abc import Callable, Sequence
from datetime import datetime

from handlers.expiry import ShardSource, audit_entry
from processor.audit.delivery import Batch, Delivery
from processor.audit.sinks.base import SinkInterrupted, SinkUnavailable
from processor.streams.record_processor import Blocked, Interrupted, Record, Unavailable
from processor.streams.shards import ShardName, StreamName


class Removals:
    """Begins the delivery of a page's entries.

    Args:
        delivery: the sinks and the quarantine that all shards share.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def begin(self, shard: ShardName, records: Sequence[Record], read_at: datetime) -> "RemovalWork":
        """Makes the entries of a page's REMOVE records; see `RecordProcessor.begin`."""
        return self.begin_of(shard.stream_arn, shard.shard_id, records, read_at)

    def begin_of(
        self, stream_arn: str, shard_id: str | None, records: Sequence[Record], read_at: datetime
    ) -> "RemovalWork":
        """As `begin`, for a reader that may not know the shard.

        Raises:
            ValueError: if this is no stream's ARN.
        """
        name = StreamName.of(stream_arn)
        source = ShardSource(name.table, name.region, stream_arn, shard_id)
        entries = [
            (index, entry)
            for index, record in enumerate(records)
            if record.get("eventName") == "REMOVE"
            and (entry := audit_entry(record, source=source, read_at=read_at)) is not None
        ]
        batch = self._delivery.batch([entry for _, entry in entries])
        return RemovalWork(batch, [index for index, _ in entries], len(records))


class RemovalWork:
    """The entries of one page on their way to the sinks.

    Args:
        batch: the delivery that has begun.
        indexes: the place of each entry's record in the page.
        count: how many records the page has.
    """

    def __init__(self, batch: Batch, indexes: Sequence[int], count: int) -> None:
        self._batch = batch
        self._indexes = indexes
        self._count = count
        self.has_effects = bool(indexes)

    @property
    def durable_records(self) -> int:
        """How many of the page's first records need no further work; see `Work.durable_records`."""
        entries = self._batch.durable
        return self._indexes[entries] if entries < len(self._indexes) else self._count

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Delivers the rest; see `Work.go_on`."""
        try:
            self._batch.deliver(may_continue)
        except SinkUnavailable as error:
            if error.retry_seconds == math.inf:
                raise Blocked(str(error)) from error
            raise Unavailable(str(error), error.retry_seconds) from error
        except SinkInterrupted:
            raise Interrupted from None
