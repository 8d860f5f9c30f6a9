"""What the Kinesis Client Library would hand to its application, and the shards that it reads from.

The rule is that of AggregatorUtil in the Kinesis Client Library 3.5: a sub-record is accepted if its explicit
hash key, else the MD5 of its partition key, lies in the inclusive hash range of the shard that it was read
from; the first that does not takes back the whole aggregate, without a log line.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from aws_kinesis_agg import DIGEST_SIZE, MAGIC
from aws_kinesis_agg.aggregator import messages_pb2

LAST_HASH_KEY = 2**128 - 1


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's inclusive hash range, which never changes."""

    starting_hash_key: int
    ending_hash_key: int

    def holds(self, hash_key: int) -> bool:
        return self.starting_hash_key <= hash_key <= self.ending_hash_key


WHOLE = Shard(0, LAST_HASH_KEY)


def split(shards: Sequence[Shard], index: int, new_starting_hash_key: int) -> list[Shard]:
    """The open shards after SplitShard; a key that does not split this shard changes nothing."""
    shard = shards[index]
    if not shard.starting_hash_key < new_starting_hash_key <= shard.ending_hash_key:
        return list(shards)
    left = Shard(shard.starting_hash_key, new_starting_hash_key - 1)
    right = Shard(new_starting_hash_key, shard.ending_hash_key)
    return [*shards[:index], left, right, *shards[index + 1 :]]


def merge(shards: Sequence[Shard], index: int) -> list[Shard]:
    """The open shards after MergeShards of this one with its right neighbour, if it has one."""
    if index + 1 >= len(shards):
        return list(shards)
    merged = Shard(shards[index].starting_hash_key, shards[index + 1].ending_hash_key)
    return [*shards[:index], merged, *shards[index + 2 :]]


def shard_of(shards: Sequence[Shard], explicit_hash_key: str) -> Shard:
    """The open shard that Kinesis puts a record with this explicit hash key into."""
    (shard,) = [shard for shard in shards if shard.holds(int(explicit_hash_key))]
    return shard


def accepted(data: bytes, shard: Shard) -> list[bytes]:
    """The data of the sub-records that the application sees; empty when the aggregate is dropped."""
    body, digest = data[len(MAGIC) : -DIGEST_SIZE], data[-DIGEST_SIZE:]
    if not data.startswith(MAGIC) or _md5(body) != digest:
        return [data]
    message = messages_pb2.AggregatedRecord()
    message.ParseFromString(body)
    taken: list[bytes] = []
    for record in message.records:
        if record.HasField("explicit_hash_key_index"):
            hash_key = int(message.explicit_hash_key_table[record.explicit_hash_key_index])
        else:
            partition_key = message.partition_key_table[record.partition_key_index]
            hash_key = int.from_bytes(_md5(partition_key.encode()), "big")
        if not shard.holds(hash_key):
            return []
        taken.append(record.data)
    return taken


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()
