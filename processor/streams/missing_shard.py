"""Decides what it means that AWS does not find a shard (docs/invariants.md, law 6); one error means nothing.

| what is seen | what follows |
|---|---|
| two complete listings, a failover time apart, lack the shard | it is gone |
| it is listed, and its records must be trimmed by now | it is gone after a failover time |
| it is listed for an hour while another shard of the stream can be read | its children may start |
| its stream does not exist | nothing |
"""

from enum import Enum

from processor.aws.errors import NotFound
from processor.streams.api import StreamApi
from processor.streams.leases.lease import Position
from processor.streams.shards import RETENTION_HOURS, Listing, began_at

PASS_SECONDS = 3_600.0
"""How long a listed shard must be missing before its children may start."""

MAX_OPEN_HOURS = 24.0
"""A shard takes records for some hours. With its retention, one that began before that is trimmed."""


class Missing(Enum):
    """What follows from the evidence."""

    GONE = "gone"  # nothing can be read from the shard any more
    PASSED = "passed"  # only its children may start


class MissingShardCheck:
    """Collects the evidence about one shard, from listings that began after a read had not found it.

    Args:
        api: asked whether another shard of the stream can be read.
        shard_id: the shard.
        failover_seconds: how far apart two observations must be.
        pass_seconds: how long a listed shard must be missing before its children may start.
    """

    def __init__(
        self, api: StreamApi, shard_id: str, failover_seconds: float, pass_seconds: float = PASS_SECONDS
    ) -> None:
        self._api = api
        self._shard_id = shard_id
        self._failover_seconds = failover_seconds
        self._pass_seconds = pass_seconds
        self.found()

    def found(self) -> None:
        """Forgets the evidence: the shard was read."""
        self._missing_since: float | None = None
        self._newest: float | None = None
        self._absent_since: float | None = None
        self._listed_since: float | None = None
        self._passable_since: float | None = None

    @property
    def is_absent(self) -> bool:
        """Whether the newest complete listing lacks the shard, so that a second one decides."""
        return self._absent_since is not None

    def missed(self, at: float) -> bool:
        """Notes that a read did not find the shard.

        Args:
            at: when, on the clock of `Listing.started_at`.

        Returns:
            Whether a new listing would tell more.
        """
        if self._missing_since is None:
            self._missing_since = at
        if self._newest is None:
            return True
        return self._absent_since is not None and at - self._absent_since >= self._failover_seconds

    def is_news(self, listing: Listing) -> bool:
        """Whether a listing began after the shard was missed, and after the last one that was judged."""
        since = self._missing_since if self._newest is None else self._newest
        return since is not None and listing.started_at > since

    def judge(self, listing: Listing, now: float) -> Missing | None:
        """Takes a listing that `is_news` into account.

        Args:
            listing: of the shard's stream.
            now: Unix seconds.

        Returns:
            What follows, or None while nothing does.

        Raises:
            AwsError: another shard could not be asked for.
        """
        self._newest = listing.started_at
        if self._shard_id in listing.shards:
            return self._listed(listing, now)
        if not listing.complete:
            return None
        self._listed_since = self._passable_since = None
        if self._absent_since is None:
            self._absent_since = listing.started_at
        is_twice = listing.started_at - self._absent_since >= self._failover_seconds
        return Missing.GONE if is_twice else None

    def _listed(self, listing: Listing, now: float) -> Missing | None:
        self._absent_since, started = None, listing.started_at
        if self._listed_since is None:
            self._listed_since = started
        is_twice = started - self._listed_since >= self._failover_seconds
        if is_twice and must_be_trimmed(self._shard_id, listing, now):
            return Missing.GONE
        if not self._another_is_readable(listing):
            self._passable_since = None
            return None
        if self._passable_since is None:
            self._passable_since = started
        return Missing.PASSED if started - self._passable_since >= self._pass_seconds else None

    def _another_is_readable(self, listing: Listing) -> bool:
        """Whether the stream can be read at all: the newest other shard gives an iterator."""
        others = [shard_id for shard_id in listing.shards if shard_id != self._shard_id]
        if not others:
            return False
        try:
            self._api.iterator(listing.stream_arn, max(others), Position())
        except NotFound:
            return False
        return True


def must_be_trimmed(shard_id: str, listing: Listing, now: float) -> bool:
    """Whether every record of a shard is older than DynamoDB keeps records.

    A child begins when its parent ends, and a shard's id shows when it began. Ids of another form say
    nothing, so nothing is concluded from them.

    Args:
        shard_id: the shard.
        listing: its stream's shards.
        now: Unix seconds.
    """
    children = [began_at(child.shard_id) for child in listing.children_of(shard_id)]
    times = [began for began in children if began is not None]
    if children:
        return len(times) == len(children) and now - min(times) > RETENTION_HOURS * 3_600
    began = began_at(shard_id)
    return began is not None and now - began > (RETENTION_HOURS + MAX_OPEN_HOURS) * 3_600
