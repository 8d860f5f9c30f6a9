"""A cursor: where in a shard its reader is, and which call reads on from there."""

from processor.aws.errors import AwsError, IteratorExpired, Transient, Trimmed
from processor.streams.api import Page, StreamApi, position_of
from processor.streams.leases.lease import Position
from processor.streams.shards import ShardName


class Cursor:
    """Reads one shard page by page, for the shard reader and for the replay.

    Args:
        api: the streams.
        shard: the shard.
        position: behind which the first read begins.
    """

    def __init__(self, api: StreamApi, shard: ShardName, position: Position | None = None) -> None:
        self._api = api
        self._shard = shard
        self._iterator: str | None = None
        self.position = position or Position()
        """The last record of the pages that were moved past. A new iterator begins behind it."""
        self.ended = False
        """Whether the shard is closed and its last page was moved past."""

    def read(self) -> Page | None:
        """Reads the next page.

        Returns:
            The page; None where the iterator had expired, and the next call makes a new one.

        Raises:
            Trimmed: the records behind the position are gone; the next call begins at the oldest one left.
            NotFound: from which alone nothing follows (docs/invariants.md, law 6).
            AwsError: the next call tries again.
        """
        shard = self._shard
        try:
            if self._iterator is None:
                self._iterator = self._api.iterator(shard.stream_arn, shard.shard_id, self.position)
            page = self._api.page(self._iterator)
        except AwsError as error:
            if not isinstance(error, Transient):
                self._iterator = None
            if isinstance(error, Trimmed):
                self.position = Position()
            if isinstance(error, IteratorExpired):
                return None
            raise
        self._iterator = page.next_iterator
        return page

    def move_past(self, page: Page) -> None:
        """Moves behind a page's last record."""
        if page.records:
            self.position = position_of(page.records[-1])
        self.ended = page.next_iterator is None
