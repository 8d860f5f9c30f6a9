"""KPL-aggregated Kinesis records, packed with `aws_kinesis_agg` and read back strictly.

An aggregate is the magic number, a protobuf message and the message's MD5 (aggregation-format.md of the
Kinesis Producer Library). The Kinesis Client Library accepts a sub-record only if its explicit hash key,
else the MD5 of its partition key, lies in the hash range of the shard that it was read from; one that lies
outside drops the whole aggregate without a word. Here every sub-record therefore carries the explicit hash
key under which the aggregate itself is put: the shard that holds the record holds that key, whatever was
split or merged between building and reading.

This is the only module that touches `aws_kinesis_agg`. Of that library only `AggRecord` is used, one for
each aggregate, never `RecordAggregator`, which loses a record that fills an aggregate to within 20 bytes.
"""

import hashlib
import sys
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # of aws_kinesis_agg's messages

_import_path = list(sys.path)
from aws_kinesis_agg import DIGEST_SIZE, MAGIC  # noqa: E402  the import path is saved before
from aws_kinesis_agg.aggregator import AggRecord  # noqa: E402
from aws_kinesis_agg.messages_pb2 import AggregatedRecord  # noqa: E402

sys.path[:] = _import_path  # the library puts its own folder first, where any `messages_pb2` would be found

MAX_RECORD_BYTES = 1_024 * 1_024 - 1_024
"""The most that an aggregate's data may hold. Kinesis takes 1 MiB with the outer partition key, which is at
most 256 characters of four bytes (Quotas and limits, Amazon Kinesis Data Streams)."""


class BrokenAggregate(ValueError):
    """A Kinesis record claims to be an aggregate and breaks the format; the message names the rule."""


class Packer:
    """Packs records in order into aggregates, each as full as its target allows, all under one hash key.

    A record that alone is longer than the target travels alone, up to the limit of Kinesis.

    Args:
        hash_key: the explicit hash key under which every aggregate must be put.
        target_bytes: when an aggregate is closed, at most `MAX_RECORD_BYTES`.
    """

    def __init__(self, hash_key: int, target_bytes: int) -> None:
        # str(int) is the canonical decimal. Keys go to the library as bytes: it over-counts the text form.
        self._hash_key = str(hash_key).encode()
        self._target_bytes = target_bytes
        self._aggregates: list[AggRecord] = []

    def add(self, partition_key: str, data: bytes) -> bool:
        """Adds a record behind those before it.

        Returns:
            Whether it was added. If not, it does not fit into a Kinesis record, even alone.

        Raises:
            UnicodeEncodeError: if UTF-8 cannot hold the partition key; nothing was added.
        """
        key = partition_key.encode()  # a lone surrogate raises before the library holds half a record
        if self._aggregates and self._fits(self._aggregates[-1], key, data):
            return True
        aggregate = AggRecord(MAX_RECORD_BYTES)
        if not self._fits(aggregate, key, data):
            return False
        aggregate.max_size = self._target_bytes
        self._aggregates.append(aggregate)
        return True

    def packed(self) -> list[tuple[bytes, int]]:
        """The data of each Kinesis record, in order, with the number of its sub-records."""
        return [(each.get_contents()[2], each.get_num_user_records()) for each in self._aggregates]

    def _fits(self, aggregate: AggRecord, key: bytes, data: bytes) -> bool:
        try:
            return bool(aggregate.add_user_record(key, data, self._hash_key))
        except ValueError:  # it is larger than a whole aggregate
            return False


def read_record(data: bytes) -> list[bytes]:
    """De-aggregates a Kinesis record; one that is not aggregated is returned unchanged.

    Data that begins with the magic number must be a whole aggregate. Other readers pass a damaged one on as
    plain data, or print to standard error and skip the rest of its records. This one raises.

    Args:
        data: of the Kinesis record.

    Returns:
        The data of its records in order, at least one.

    Raises:
        BrokenAggregate: if the digest or the message breaks the format.
    """
    if not data.startswith(MAGIC):
        return [data]
    body, digest = data[len(MAGIC) : -DIGEST_SIZE], data[-DIGEST_SIZE:]
    if hashlib.md5(body, usedforsecurity=False).digest() != digest:
        raise BrokenAggregate("an aggregate must end with the MD5 digest of its message")
    message: Any = AggregatedRecord()
    try:
        message.ParseFromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BrokenAggregate("an aggregate must hold a protobuf message") from None
    if not (message.records and message.IsInitialized()):
        raise BrokenAggregate("an aggregate must hold sub-records, each with a partition key and data")
    return [record.data for record in message.records]
