"""The record processor of the audit: REMOVE records become audit entries, and those go to every sink."""

from collections.abc import Sequence
from datetime import datetime

from handlers.expiry import ShardSource, audit_entry
from processor.audit.delivery import Batch, Delivery
from processor.streams.record_processor import Record
from processor.streams.shards import ShardName, StreamName


class Removals:
    """Begins the delivery of a page's entries.

    Args:
        delivery: the sinks and the quarantine that all shards share.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def tick(self) -> None:
        """See `RecordProcessor.tick`."""
        self._delivery.note(None)

    def begin(self, shard: ShardName, records: Sequence[Record], read_at: datetime) -> Batch:
        """Makes the entries of a page's REMOVE records; see `RecordProcessor.begin`."""
        return self.begin_of(source_of(shard.stream_arn, shard.shard_id), records, read_at)

    def begin_of(self, source: ShardSource, records: Sequence[Record], read_at: datetime) -> Batch:
        """As `begin`, for a reader that may not know the shard."""
        entries = [
            (index, entry)
            for index, record in enumerate(records)
            if (entry := audit_entry(record, source=source, read_at=read_at)) is not None
        ]
        return self._delivery.batch(entries, len(records))


def source_of(stream_arn: str, shard_id: str | None) -> ShardSource:
    """What entries say of the shard that their records were read from.

    Raises:
        ValueError: if this is no stream's ARN.
    """
    name = StreamName.of(stream_arn)
    return ShardSource(name.table, name.region, stream_arn, shard_id)
