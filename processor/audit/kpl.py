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
from typing import NamedTuple, Protocol, cast

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
_MAX_OVERHEAD_BYTES = 128
"""More than the frame, the hash key and the fields' tags and lengths of one sub-record take."""

_CANONICAL_DECIMAL = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)


class RecordTooLarge(ValueError):
    """A record does not fit into a Kinesis record, even alone."""


class BrokenAggregate(ValueError):
    """A Kinesis record claims to be an aggregate and breaks the format; the message names the rule."""


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One record as its producer meant it: a sub-record of an aggregate, or a Kinesis record by itself."""

    partition_key: str
    data: bytes
    explicit_hash_key: str | None = None


class Packed(NamedTuple):
    """The data of one Kinesis record."""

    data: bytes
    sub_records: int
    """How many sub-records it holds."""


class _SizedAggRecord(AggRecord):  # type: ignore[misc]  # the library ships untyped
    """The library's aggregate, which is given the size of each record and does not count it again."""

    record_bytes: int = 0

    def _calculate_record_size(self, *_record: object) -> int:
        return self.record_bytes


class Aggregate:
    """Builds one Kinesis record: sub-records in the order they were added, under one hash key.

    Args:
        hash_key: the explicit hash key of the record and of each of its sub-records.

    Raises:
        ValueError: if the hash key is not in the range of Kinesis.
    """

    def __init__(self, hash_key: int) -> None:
        if not 0 <= hash_key <= MAX_HASH_KEY:
            raise ValueError("a hash key must lie between 0 and 2^128 - 1")
        # str(int) is the canonical decimal. Keys go to the library as bytes: it over-counts the text form.
        self._hash_key = str(hash_key).encode()
        self._key_numbers: dict[bytes, int] = {}
        self.bytes = _empty_bytes(hash_key)
        """Exactly how many bytes `data()` has, once there is a record."""
        self._count = 0
        self._library = _SizedAggRecord(MAX_RECORD_BYTES)

    def __len__(self) -> int:
        return self._count

    def add(self, record: UserRecord, max_bytes: int = MAX_RECORD_BYTES) -> bool:
        """Adds a sub-record if it fits; its own explicit hash key, if any, is not used.

        Args:
            record: what to add.
            max_bytes: the most that `data()` may have afterwards, at most `MAX_RECORD_BYTES`.

        Returns:
            Whether it was added. If not, nothing has changed.

        Raises:
            ValueError: if the partition key is not 1 to 256 characters of text; nothing was added.
        """
        if not 1 <= len(record.partition_key) <= MAX_PARTITION_KEY_CHARS:
            raise ValueError("a partition key must be 1 to 256 characters")
        key = record.partition_key.encode()  # a lone surrogate raises before the library holds half a record
        number = self._key_numbers.get(key)
        if number is None:
            number = len(self._key_numbers)
            size = self.bytes + _field_bytes(len(key)) + _sub_record_bytes(number, len(record.data))
        else:
            size = self.bytes + _sub_record_bytes(number, len(record.data))
        if size > max_bytes:
            return False
        self._library.record_bytes = size - self.bytes
        if not self._library.add_user_record(key, record.data, self._hash_key):
            raise AssertionError("aws_kinesis_agg refused a record that fits")
        self._key_numbers[key] = number
        self.bytes = size
        self._count += 1
        return True

    def data(self) -> bytes:
        """The record's data: at most `MAX_RECORD_BYTES`, holding exactly the records that were added."""
        data: bytes = self._library.get_contents()[2]
        if len(data) != self.bytes or self._library.get_num_user_records() != self._count:
            raise AssertionError("aws_kinesis_agg built another aggregate than it was given")
        return data


def fits_alone(record: UserRecord, hash_key: int) -> bool:
    """Whether the record fits into a Kinesis record by itself. Its key must be text."""
    data, key = len(record.data), record.partition_key
    if data + 4 * len(key) <= MAX_RECORD_BYTES - _MAX_OVERHEAD_BYTES:
        return True
    return (
        _empty_bytes(hash_key) + _field_bytes(len(key.encode())) + _sub_record_bytes(0, data)
        <= MAX_RECORD_BYTES
    )


def aggregate(records: Iterable[UserRecord], hash_key: int, target_bytes: int) -> list[Packed]:
    """Packs records into as few aggregates as fill in order, each at most `target_bytes` long.

    A record that alone is longer than the target travels alone, up to the limit of Kinesis.

    Args:
        records: in the order in which they must be read.
        hash_key: the explicit hash key under which every aggregate must be put.
        target_bytes: at most `MAX_RECORD_BYTES`.

    Returns:
        The Kinesis records, in order; none for no records.

    Raises:
        RecordTooLarge: if a record does not fit into a Kinesis record alone.
        ValueError: if a partition key is not 1 to 256 characters of text.
    """
    aggregates: list[Packed] = []
    current = Aggregate(hash_key)
    for record in records:
        if current.add(record, target_bytes):
            continue
        if len(current):
            aggregates.append(Packed(current.data(), len(current)))
            current = Aggregate(hash_key)
        if not current.add(record):
            raise RecordTooLarge(f"an aggregate must not be larger than {MAX_RECORD_BYTES} bytes")
    if len(current):
        aggregates.append(Packed(current.data(), len(current)))
    return aggregates


def read_record(partition_key: str, data: bytes) -> list[UserRecord]:
    """De-aggregates a Kinesis record; a record that is not aggregated is returned unchanged.

    Data that begins with the magic number must be a whole aggregate. Other readers pass a damaged one on as
    plain data, or print to standard error and skip the rest of its records. This one raises.

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


def _empty_bytes(hash_key: int) -> int:
    """An aggregate that holds nothing yet but its hash key."""
    return _FRAME_BYTES + _field_bytes(len(str(hash_key)))


def _sub_record_bytes(key_number: int, data_bytes: int) -> int:
    """Tag and index of the partition key, tag and index 0 of the hash key, and the data."""
    return _field_bytes(3 + _varint_bytes(key_number) + _field_bytes(data_bytes))


def _field_bytes(length: int) -> int:
    """What a protobuf field of this length takes: its tag, its length, itself."""
    return 1 + _varint_bytes(length) + length


def _varint_bytes(value: int) -> int:
    if value < 1 << 7:
        return 1
    if value < 1 << 14:
        return 2
    return (value.bit_length() + 6) // 7


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
