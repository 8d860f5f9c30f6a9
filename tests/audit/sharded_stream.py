"""A Kinesis stream in memory to read from: shards that split, merge and end as on AWS, and fail on demand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.audit.kcl_oracle import WHOLE, Shard

START = datetime(2026, 11, 22, 10, tzinfo=UTC)


@dataclass
class Held:
    """A shard with what it holds."""

    shard_id: str
    hash_range: Shard
    parents: tuple[str, ...] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False


class ShardedStream:
    """Reading calls as boto3's; each record arrives one second after the one before."""

    def __init__(self) -> None:
        self.shards = [Held("shardId-0", WHOLE)]
        self.reads: list[tuple[str, float]] = []
        self.failures: list[Exception] = []
        self.now = 0.0
        self._shards_made = 1
        self._records_made = 0
        self.fail_only: str | None = None
        self.before_read: Callable[[], object] = lambda: None

    def put(self, hash_key: int, data: bytes, partition_key: str = "outer") -> None:
        self._records_made += 1
        self._open_at(hash_key).records.append(
            {
                "SequenceNumber": str(self._records_made),
                "ApproximateArrivalTimestamp": START + timedelta(seconds=self._records_made),
                "PartitionKey": partition_key,
                "Data": data,
            }
        )

    def split(self, hash_key: int) -> None:
        """Splits the shard that holds this key so that the upper child begins with it."""
        parent = self._open_at(hash_key)
        start, end = parent.hash_range.starting_hash_key, parent.hash_range.ending_hash_key
        if start < hash_key:
            parent.closed = True
            self._add(Shard(start, hash_key - 1), parent)
            self._add(Shard(hash_key, end), parent)

    def merge(self, hash_key: int) -> None:
        """Merges the shard that holds this key with its right neighbour, if there is one."""
        left = self._open_at(hash_key)
        if left.hash_range.ending_hash_key == WHOLE.ending_hash_key:
            return
        right = self._open_at(left.hash_range.ending_hash_key + 1)
        left.closed = right.closed = True
        self._add(Shard(left.hash_range.starting_hash_key, right.hash_range.ending_hash_key), left, right)

    def trim(self, shard_id: str) -> None:
        """Takes a shard out of the stream, as its retention does."""
        self.shards = [shard for shard in self.shards if shard.shard_id != shard_id]

    def list_shards(self, *, StreamName: str = "", NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        self._fail("list_shards")
        first = int(NextToken)
        page = [self._listed(shard) for shard in self.shards[first : first + 2]]
        more = {"NextToken": str(first + 2)} if first + 2 < len(self.shards) else {}
        return {"Shards": page} | more

    def get_shard_iterator(
        self,
        *,
        StreamName: str,  # noqa: N803
        ShardId: str,  # noqa: N803
        ShardIteratorType: str,  # noqa: N803
        Timestamp: datetime = START,  # noqa: N803
        StartingSequenceNumber: str = "0",  # noqa: N803
    ) -> dict[str, str]:
        self._fail("get_shard_iterator")
        after = int(StartingSequenceNumber)
        if ShardIteratorType == "AT_TIMESTAMP":
            after = int((Timestamp - START).total_seconds()) - 1
        return {"ShardIterator": f"{ShardId}/{after}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        shard_id, after = ShardIterator.split("/")
        self.reads.append((shard_id, self.now))
        self.before_read()
        self._fail("get_records")
        shard = next(shard for shard in self.shards if shard.shard_id == shard_id)
        left = [record for record in shard.records if int(record["SequenceNumber"]) > int(after)]
        page = left[: min(Limit, 3)]
        behind = 1_000 * (len(left) - len(page))
        answer: dict[str, Any] = {"Records": page, "MillisBehindLatest": behind}
        if not (shard.closed and len(page) == len(left)):
            last = page[-1]["SequenceNumber"] if page else after
            answer["NextShardIterator"] = f"{shard_id}/{last}"
        return answer

    def wait(self, seconds: float) -> None:
        """Lets the stream's clock go on."""
        self.now += seconds

    def _fail(self, method: str) -> None:
        if self.failures and self.fail_only in (None, method):
            raise self.failures.pop(0)

    def _open_at(self, hash_key: int) -> Held:
        (shard,) = [s for s in self.shards if not s.closed and s.hash_range.holds(hash_key)]
        return shard

    def _add(self, hash_range: Shard, *parents: Held) -> None:
        name = f"shardId-{self._shards_made}"
        self._shards_made += 1
        # Newest first: a listing promises no order.
        self.shards.insert(0, Held(name, hash_range, tuple(parent.shard_id for parent in parents)))

    def _listed(self, shard: Held) -> dict[str, Any]:
        numbers = {"StartingSequenceNumber": "0"} | ({"EndingSequenceNumber": "9"} if shard.closed else {})
        listed: dict[str, Any] = {"ShardId": shard.shard_id, "SequenceNumberRange": numbers}
        names = ("ParentShardId", "AdjacentParentShardId")
        return listed | dict(zip(names, shard.parents, strict=False))
