"""What the Kinesis Client Library would hand to its application.

The rule is that of AggregatorUtil in the Kinesis Client Library 3.5: a sub-record is accepted if its explicit
hash key, else the MD5 of its partition key, lies in the inclusive hash range of the shard that it was read
from; the first that does not takes back the whole aggregate, without a log line.
"""

import hashlib
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
