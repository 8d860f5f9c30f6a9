"""KPL-aggregated Kinesis records, built with `aws_kinesis_agg` and read back strictly.

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
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # of aws_kinesis_agg's messages

_import_path = list(sys.path)
from aws_kinesis_agg import DIGEST_SIZE, MAGIC  # noqa: E402  the import path is saved before
from aws_kinesis_agg.aggregator import AggRecord  # noqa: E402
from aws_kinesis_agg.messages_pb2 import AggregatedRecord  # noqa: E402

sys.path[:] = _import_path  # the library puts its own folder first, where any `messages_pb2` would be found

MAX_HASH_KEY = 2**128 - 1
"""The end of the last shard's hash range (Amazon Kinesis Data Streams API Reference: HashKeyRange)."""

MAX_PARTITION_KEY_CHARS = 256
"""Amazon Kinesis Data Streams API Reference: PutRecordsRequestEntry."""

MAX_RECORD_BYTES = 1_024 * 1_024 - 1_024
"""The most that an aggregate's data may hold. Kinesis takes 1 MiB with the outer partition key, which is at
most 256 characters of four bytes (Quotas and limits, Amazon Kinesis Data Streams)."""

_FRAME_BYTES: int = len(MAGIC) + DIGEST_SIZE
_CANONICAL_DECIMAL = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)


class RecordTooLarge(ValueError):
    """A record does not fit into a Kinesis record, even alone."""


class BrokenAggregate(ValueError):
    """A Kinesis record says that it is an aggregate and breaks the format; the message names the rule."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One record as its producer meant it: a sub-record of an aggregate, or a Kinesis record by itself."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


class Aggregate:
    """One Kinesis record in the making: sub-records in the order they were added, under one hash key."""

    def __init__(self, hash_key: int) -> None:
        """An aggregate without sub-records.

        Args:
            hash_key: the explicit hash key of the record and of each of its sub-records.

        Raises:
            ValueError: if the hash key is not in the range of Kinesis.
        """
        if not 0 <= hash_key <= MAX_HASH_KEY:
            raise ValueError("a hash key must lie between 0 and 2^128 - 1")
        # str(int) is the canonical decimal. Keys go to the library as bytes: it over-counts the text form.
        self._hash_key = str(hash_key).encode()
        self._key_numbers: dict[bytes, int] = {}
        self._bytes = _empty_bytes(str(hash_key))
        self._count = 0
        self._library = cast("_LibraryAggregate", AggRecord(MAX_RECORD_BYTES))

    def __len__(self) -> int:
        return self._count

    def size_with(self, record: UserRecord) -> int:
        """Exactly how many bytes `data()` would have after adding this record."""
        return self._size_with(record.partition_key.encode(), record.data)

    def add(self, record: UserRecord) -> None:
        """Adds a sub-record; its own explicit hash key, if any, is not used.

        Raises:
            RecordTooLarge: if the aggregate would become larger than a Kinesis record; nothing was added.
            ValueError: if the partition key is not 1 to 256 characters of text; nothing was added.
        """
        if not 1 <= len(record.partition_key) <= MAX_PARTITION_KEY_CHARS:
            raise ValueError("a partition key must be 1 to 256 characters")
        key = (
            record.partition_key.encode()
        )  # a lone surrogate ends here, before the library has half a record
        size = self._size_with(key, record.data)
        if size > MAX_RECORD_BYTES:
            raise RecordTooLarge(f"an aggregate must not be larger than {MAX_RECORD_BYTES} bytes")
        if not self._library.add_user_record(key, record.data, self._hash_key):
            raise AssertionError("aws_kinesis_agg refused a record that fits")
        self._key_numbers.setdefault(key, len(self._key_numbers))
        self._bytes = size
        self._count += 1

    def data(self) -> bytes:
        """The record's data: at most `MAX_RECORD_BYTES`, holding exactly the records that were added."""
        _, _, data = self._library.get_contents()
        if len(data) != self._bytes or self._library.get_num_user_records() != self._count:
            raise AssertionError("aws_kinesis_agg built another aggregate than it was given")
        return data

    def _size_with(self, key: bytes, data: bytes) -> int:
        number = self._key_numbers.get(key)
        new_key = 0
        if number is None:
            number = len(self._key_numbers)
            new_key = _field_bytes(len(key))
        return self._bytes + new_key + _sub_record_bytes(number, data)


def lone_bytes(record: UserRecord, hash_key: int) -> int:
    """How many bytes an aggregate of this record alone would have; the record's key must be text."""
    sub_record = _sub_record_bytes(0, record.data)
    return _empty_bytes(str(hash_key)) + _field_bytes(len(record.partition_key.encode())) + sub_record


def aggregate(records: Iterable[UserRecord], hash_key: int, target_bytes: int) -> list[bytes]:
    """Packs records into as few aggregates as fill in order, each at most `target_bytes` long.

    A record that alone is longer than the target travels alone, up to the limit of Kinesis.

    Args:
        records: in the order in which they must be read.
        hash_key: the explicit hash key under which every aggregate must be put.
        target_bytes: at most `MAX_RECORD_BYTES`.

    Returns:
        The data of each Kinesis record, in order; empty for no records.

    Raises:
        RecordTooLarge: if a record does not fit into a Kinesis record alone.
        ValueError: if a partition key is not 1 to 256 characters of text.
    """
    aggregates: list[bytes] = []
    current = Aggregate(hash_key)
    for record in records:
        if len(current) and current.size_with(record) > target_bytes:
            aggregates.append(current.data())
            current = Aggregate(hash_key)
        current.add(record)
    if len(current):
        aggregates.append(current.data())
    return aggregates


def read_record(partition_key: str, data: bytes) -> list[UserRecord]:
    """Takes a Kinesis record apart; one that is not aggregated comes back as it is.

    Data that begins with the magic number must be a whole aggregate. Other readers pass a damaged one on as
    plain data, or print to standard error and go on without the rest of its records; this one does not.

    Args:
        partition_key: of the Kinesis record.
        data: of the Kinesis record.

    Returns:
        Its records in order, at least one.

    Raises:
        BrokenAggregate: if the digest, the message, an index or a key breaks the format.
    """
    if not data.startswith(MAGIC):
        return [UserRecord(partition_key, data)]
    if len(data) <= _FRAME_BYTES:
        raise BrokenAggregate("an aggregate must hold a message between its magic number and its digest")
    body, digest = data[len(MAGIC) : -DIGEST_SIZE], data[-DIGEST_SIZE:]
    if hashlib.md5(body, usedforsecurity=False).digest() != digest:
        raise BrokenAggregate("an aggregate must end with the MD5 digest of its message")
    message = cast("_LibraryMessage", AggregatedRecord())
    try:
        message.ParseFromString(body)
    except (DecodeError, UnicodeDecodeError):
        raise BrokenAggregate("an aggregate must hold a protobuf message") from None
    if not message.IsInitialized():
        raise BrokenAggregate("each sub-record must have a partition key and data")
    return _sub_records(message)


def _sub_records(message: "_LibraryMessage") -> list[UserRecord]:
    partition_keys = [_text(key) for key in message.partition_key_table]
    hash_keys = [_hash_key(key) for key in message.explicit_hash_key_table]
    records: list[UserRecord] = []
    for sub_record in message.records:
        has_hash_key = sub_record.HasField("explicit_hash_key_index")
        try:
            key = partition_keys[sub_record.partition_key_index]
            hash_key = hash_keys[sub_record.explicit_hash_key_index] if has_hash_key else None
        except IndexError:
            raise BrokenAggregate("each sub-record's keys must stand in the aggregate's tables") from None
        records.append(UserRecord(key, sub_record.data, hash_key))
    if not records:
        raise BrokenAggregate("an aggregate must hold at least one sub-record")
    return records


def _text(key: str | bytes) -> str:
    if isinstance(key, bytes):  # what protobuf's C implementation makes of a string that is not UTF-8
        raise BrokenAggregate("a key must be UTF-8")
    return key


def _hash_key(key: str | bytes) -> str:
    text = _text(key)
    if _CANONICAL_DECIMAL.fullmatch(text) is None or int(text) > MAX_HASH_KEY:
        raise BrokenAggregate("an explicit hash key must be a whole number from 0 to 2^128 - 1")
    return text


def _empty_bytes(hash_key: str) -> int:
    """An aggregate that holds nothing yet but its hash key, which is ASCII."""
    return _FRAME_BYTES + _field_bytes(len(hash_key))


def _sub_record_bytes(key_number: int, data: bytes) -> int:
    """Tag and index of the partition key, tag and index 0 of the hash key, and the data."""
    return _field_bytes(1 + _varint_bytes(key_number) + 2 + _field_bytes(len(data)))


def _field_bytes(length: int) -> int:
    """What a protobuf field of this length takes: its tag, its length, itself."""
    return 1 + _varint_bytes(length) + length


def _varint_bytes(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


class _LibraryAggregate(Protocol):
    """`AggRecord`, which ships untyped, as far as it is used."""

    def add_user_record(self, partition_key: bytes, data: bytes, explicit_hash_key: bytes) -> bool: ...

    def get_num_user_records(self) -> int: ...

    def get_contents(self) -> tuple[bytes, bytes, bytes]: ...


class _LibraryRecord(Protocol):
    partition_key_index: int
    explicit_hash_key_index: int
    data: bytes

    def HasField(self, field_name: str) -> bool: ...  # noqa: N802  protobuf's own name


class _LibraryMessage(Protocol):
    """The protobuf class `AggregatedRecord`, as far as it is used."""

    partition_key_table: list[str | bytes]
    explicit_hash_key_table: list[str | bytes]
    records: list[_LibraryRecord]

    def ParseFromString(self, serialized: bytes) -> int: ...  # noqa: N802  protobuf's own name

    def IsInitialized(self) -> bool: ...  # noqa: N802  protobuf's own name
