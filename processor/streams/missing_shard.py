"""Decides whether a shard that AWS does not find is really gone (law 6), which takes two listings to say."""

from dataclasses import dataclass

from processor.aws.errors import NotFound
from processor.streams.api import StreamApi
from processor.streams.shards import Shard


@dataclass(frozen=True, slots=True)
class Absent:
    """The shard is gone: two complete listings of its stream, a failover time apart, lack it."""

    children: tuple[Shard, ...]


class StreamMissing(Exception):
    """The stream itself does not exist: nothing is concluded about its shards."""


class MissingShardCheck:
    """Collects the evidence about one shard."""

    def __init__(self, api: StreamApi, stream_arn: str, shard_id: str, failover_seconds: float) -> None:
        self._api = api
        self._stream_arn = stream_arn
        self._shard_id = shard_id
        self._failover_seconds = failover_seconds
        self._absent_since: float | None = None

    def look(self) -> Absent | None:
        """Takes one listing.

        Returns:
            The verdict, or None while there is none, because the shard is listed, the listing is not
            complete, or the last one is too recent.

        Raises:
            StreamMissing: the stream does not exist.
            AwsError: nothing was learnt.
        """
        try:
            listing = self._api.describe(self._stream_arn)
        except NotFound:
            self.found()
            raise StreamMissing from None
        if not listing.complete:
            return None
        if self._shard_id in listing.shards:
            self.found()
            return None
        if self._absent_since is None:
            self._absent_since = listing.started_at
        if listing.started_at - self._absent_since < self._failover_seconds:
            return None
        return Absent(listing.children_of(self._shard_id))

    def found(self) -> None:
        """Forgets the evidence: the shard was seen, or its stream was not."""
        self._absent_since = None
