"""A Kinesis stream in memory: the limits and failures of PutRecords, and shards that split, merge and end.

No emulator throttles, answers a part of a call, or ends a shard. Its methods are those of a boto3 client.
"""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from botocore.exceptions import ClientError, ReadTimeoutError

from handlers.audit import AuditEntry
from tests.audit.entries import Clock, ids_by_export
from tests.audit.kcl_oracle import WHOLE, Shard, accepted

MIB = 1_024 * 1_024
START = datetime(2026, 11, 22, 10, tzinfo=UTC)
THROTTLED = "ProvisionedThroughputExceededException"


def client_error(code: str, status: int = 400) -> ClientError:
    """What boto3 raises for an error answer of PutRecords."""
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PutRecords",
    )


def timeout() -> ReadTimeoutError:
    """What boto3 raises when no answer comes."""
    return ReadTimeoutError(endpoint_url="http://127.0.0.1")


@dataclass(frozen=True, slots=True)
class Fault:
    """Of one call: which records reach the stream, by their place, and what it answers or raises."""

    accepts: Callable[[int], bool] = lambda _: True
    code: str = THROTTLED
    raises: Callable[[], Exception] | None = None
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda answer: answer


FAULTS = {
    "no fault": Fault(),
    "partial failure": Fault(accepts=lambda index: index % 2 == 0),
    "all records throttled": Fault(accepts=lambda _: False),
    "internal failures": Fault(accepts=lambda index: index % 3 != 0, code="InternalFailure"),
    "call throttled": Fault(lambda _: False, raises=lambda: client_error(THROTTLED)),
    "server error": Fault(lambda _: False, raises=lambda: client_error("InternalFailure", 500)),
    "timeout before the put": Fault(lambda _: False, raises=timeout),
    "timeout after the put": Fault(raises=timeout),
    "timeout halfway": Fault(lambda index: index % 2 == 1, raises=timeout),
    "an answer that leaves a record out": Fault(change=lambda answer: {"Records": answer["Records"][:-1]}),
    "an answer without results": Fault(change=lambda _: {}),
}


@dataclass
class StoredShard:
    """A shard with its records."""

    shard_id: str
    hash_range: Shard
    parents: tuple[str, ...] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False


class Kinesis:
    """One data stream. Each record arrives one second after the one before, for readers.

    Args:
        faults: one for each call of PutRecords; later calls succeed.
        limited: whether its only shard takes 1 MiB and 1,000 records a second and no more (Quotas and
            limits, Kinesis Data Streams).

    Attributes:
        clock: the time for limits and for readers.
    """

    def __init__(self, faults: Sequence[Fault] = (), *, limited: bool = False) -> None:
        self.clock = Clock()
        self.shards = [StoredShard("shardId-0", WHOLE)]
        self.records: list[dict[str, Any]] = []
        """Every record of PutRecords that reached the stream, in order."""
        self.calls: list[list[Mapping[str, Any]]] = []
        self.blocked: set[str] = set()
        """Partition keys whose records are throttled."""
        self.reads: list[tuple[str, float]] = []
        self.failures: list[Exception] = []
        """What the next reading calls raise, one each."""
        self.fail_only: str | None = None
        """The only reading method that fails."""
        self.during: Callable[[], object] = lambda: None
        """Called in each call of PutRecords and GetRecords."""
        self._faults = list(faults)
        self._limited = limited
        self._taken: Counter[tuple[int, str]] = Counter()
        self._lock = threading.Lock()
        self._shuffle = random.Random(0)
        self._shards_made = 1
        self._records_made = 0

    # Writing.

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """PutRecords; keeps no order between the records of one call."""
        assert StreamName == "export-audit"
        keys = [record["PartitionKey"] for record in Records]
        _check_limits(Records)
        assert len(set(keys)) == len(keys), "two records of one bucket in one call"
        with self._lock:
            self.calls.append(list(Records))
            fault = self._faults.pop(0) if self._faults else Fault()
        self.during()
        stored: set[int] = set()
        with self._lock:
            for index in self._shuffle.sample(range(len(Records)), len(Records)):
                if fault.accepts(index) and self._has_room(Records[index]):
                    stored.add(index)
                    self.records.append(Records[index])
                    self.put(
                        int(Records[index]["ExplicitHashKey"]),
                        Records[index]["Data"],
                        Records[index]["PartitionKey"],
                    )
        if fault.raises is not None:
            raise fault.raises()
        results = [
            {"SequenceNumber": "49", "ShardId": "shardId-000000000000"}
            if index in stored
            else {"ErrorCode": fault.code, "ErrorMessage": "no"}
            for index in range(len(Records))
        ]
        return fault.change({"FailedRecordCount": len(Records) - len(stored), "Records": results})

    def put(self, hash_key: int, data: bytes, partition_key: str = "outer") -> None:
        """Stores one record."""
        self._records_made += 1
        self.open_at(hash_key).records.append(
            {
                "SequenceNumber": str(self._records_made),
                "ApproximateArrivalTimestamp": START + timedelta(seconds=self._records_made),
                "PartitionKey": partition_key,
                "Data": data,
            }
        )

    def entries(self) -> Iterator[AuditEntry]:
        """What a KCL consumer sees, shard by shard, in the order of each shard."""
        for shard in self.shards:
            for record in shard.records:
                for data in accepted(record["Data"], shard.hash_range):
                    yield msgspec.json.decode(data, type=AuditEntry)

    def first_appearances(self) -> dict[str, list[str]]:
        """The audit ids of each export in the order in which they first appear."""
        return ids_by_export(self.entries())

    def _has_room(self, record: Mapping[str, Any]) -> bool:
        if record["PartitionKey"] in self.blocked:
            return False
        second, size = int(self.clock()), len(record["Data"]) + len(record["PartitionKey"])
        taken = self._taken + Counter({(second, "bytes"): size, (second, "records"): 1})
        if self._limited and (taken[second, "bytes"] > MIB or taken[second, "records"] > 1_000):
            return False
        self._taken = taken
        return True

    # Shards.

    def split(self, hash_key: int) -> None:
        """Splits the shard that holds this key so that the upper child begins with it."""
        parent = self.open_at(hash_key)
        start, end = parent.hash_range.starting_hash_key, parent.hash_range.ending_hash_key
        if start < hash_key:
            parent.closed = True
            self._add(Shard(start, hash_key - 1), parent)
            self._add(Shard(hash_key, end), parent)

    def merge(self, hash_key: int) -> None:
        """Merges the shard that holds this key with its right neighbour, if there is one."""
        left = self.open_at(hash_key)
        if left.hash_range.ending_hash_key == WHOLE.ending_hash_key:
            return
        right = self.open_at(left.hash_range.ending_hash_key + 1)
        left.closed = right.closed = True
        self._add(Shard(left.hash_range.starting_hash_key, right.hash_range.ending_hash_key), left, right)

    def trim(self, shard_id: str) -> None:
        """Removes a shard from the stream, as its retention does."""
        self.shards = [shard for shard in self.shards if shard.shard_id != shard_id]

    # Reading.

    def list_shards(self, *, StreamName: str = "", NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        """ListShards, two a page."""
        self._fail("list_shards")
        first = int(NextToken)
        page = [_listed(shard) for shard in self.shards[first : first + 2]]
        more = {"NextToken": str(first + 2)} if first + 2 < len(self.shards) else {}
        return {"Shards": page} | more

    def get_shard_iterator(self, *, ShardId: str, ShardIteratorType: str, **place: Any) -> dict[str, str]:  # noqa: N803
        """GetShardIterator."""
        self._fail("get_shard_iterator")
        after = int(place.get("StartingSequenceNumber", 0))
        if ShardIteratorType == "AT_TIMESTAMP":
            after = int((place["Timestamp"] - START).total_seconds()) - 1
        return {"ShardIterator": f"{ShardId}/{after}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        """GetRecords, at most three a page."""
        shard_id, after = ShardIterator.split("/")
        self.reads.append((shard_id, self.clock()))
        self.during()
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

    def _fail(self, method: str) -> None:
        if self.failures and self.fail_only in (None, method):
            raise self.failures.pop(0)

    def open_at(self, hash_key: int) -> StoredShard:
        """The open shard that takes this hash key."""
        (shard,) = [s for s in self.shards if not s.closed and s.hash_range.holds(hash_key)]
        return shard

    def _add(self, hash_range: Shard, *parents: StoredShard) -> None:
        name = f"shardId-{self._shards_made}"
        self._shards_made += 1
        # Newest first: a listing promises no order.
        self.shards.insert(0, StoredShard(name, hash_range, tuple(parent.shard_id for parent in parents)))


def _check_limits(records: list[dict[str, Any]]) -> None:
    sizes = [len(record["Data"]) + len(record["PartitionKey"].encode()) for record in records]
    assert 1 <= len(records) <= 500
    assert max(sizes) <= MIB
    assert sum(sizes) <= 5 * MIB
    for record in records:
        assert 1 <= len(record["PartitionKey"]) <= 256
        assert re.fullmatch(r"0|([1-9]\d{0,38})", record["ExplicitHashKey"])


def _listed(shard: StoredShard) -> dict[str, Any]:
    numbers = {"StartingSequenceNumber": "0"} | ({"EndingSequenceNumber": "9"} if shard.closed else {})
    bounds = (shard.hash_range.starting_hash_key, shard.hash_range.ending_hash_key)
    listed: dict[str, Any] = {
        "ShardId": shard.shard_id,
        "SequenceNumberRange": numbers,
        "HashKeyRange": {"StartingHashKey": str(bounds[0]), "EndingHashKey": str(bounds[1])},
    }
    names = ("ParentShardId", "AdjacentParentShardId")
    return listed | dict(zip(names, shard.parents, strict=False))
