"""The record processor of the audit: REMOVE records become audit entries, and those go to every sink."""

from collections.abc import Callable, Sequence
from datetime import datetime

from handlers.expiry import ShardSource, audit_entry
from processor.audit.delivery import Batch, Delivery
from processor.audit.sinks.base import SinkInterrupted, SinkUnavailable
from processor.streams.record_processor import Interrupted, Record, Unavailable
from processor.streams.shards import ShardName, StreamName


class Removals:
    """Begins the delivery of a page's entries.

    Args:
        delivery: the sinks and the quarantine that all shards share.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def begin(self, shard: ShardName, records: Sequence[Record], read_at: datetime) -> "RemovalWork":
        """Makes the entries of a page; see `RecordProcessor.begin`."""
        name = StreamName.of(shard.stream_arn)
        source = ShardSource(name.table, name.region, shard.stream_arn, shard.shard_id)
        entries = [
            entry
            for record in records
            if record.get("eventName") == "REMOVE"
            and (entry := audit_entry(record, source=source, read_at=read_at)) is not None
        ]
        return RemovalWork(self._delivery.batch(entries), has_effects=bool(entries))


class RemovalWork:
    """The entries of one page on their way to the sinks.

    Args:
        batch: the delivery that has begun.
        has_effects: whether the page has any entry.
    """

    def __init__(self, batch: Batch, *, has_effects: bool) -> None:
        self._batch = batch
        self.has_effects = has_effects

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Delivers what is left; see `Work.go_on`."""
        try:
            self._batch.deliver(may_continue)
        except SinkUnavailable as error:
            raise Unavailable(str(error)) from error
        except SinkInterrupted:
            raise Interrupted from None
