"""Aggregates hold exactly what was added, at exactly the size foreseen, and are read back strictly."""

import base64
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records
from aws_kinesis_agg.messages_pb2 import AggregatedRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.audit import kpl
from processor.audit.kpl import (
    MAX_HASH_KEY,
    MAX_RECORD_BYTES,
    Aggregate,
    BrokenAggregate,
    RecordTooLarge,
    UserRecord,
    fits_alone,
    read_record,
)

KEY = MAX_HASH_KEY // 2

partition_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
records = st.builds(UserRecord, partition_keys, st.binary(min_size=1, max_size=300))


def aggregate(records: Iterable[UserRecord], hash_key: int, target_bytes: int) -> list[bytes]:
    """The data of the records that `kpl.aggregate` makes, whose counts it checks."""
    packed = kpl.aggregate(records, hash_key, target_bytes)
    for data, count in packed:
        assert len(read_record("outer", data)) == count
    return [data for data, _ in packed]


def sized(size: int, partition_key: str = "req-1") -> UserRecord:
    """A record whose data has this many bytes and tells its own size."""
    return UserRecord(partition_key, str(size).encode().ljust(size, b".")[:size])


def framed(body: bytes) -> bytes:
    magic: bytes = MAGIC
    return magic + body + hashlib.md5(body, usedforsecurity=False).digest()


@settings(deadline=None)
@given(st.lists(records, max_size=30), st.integers(0, MAX_HASH_KEY), st.integers(100, 5_000))
def test_all_records_come_back_in_order_with_their_keys(
    given_records: list[UserRecord], hash_key: int, target: int
) -> None:
    packed = aggregate(given_records, hash_key, target)
    read = [record for data in packed for record in read_record("outer", data)]
    assert read == [UserRecord(r.partition_key, r.data, str(hash_key)) for r in given_records]


@settings(deadline=None)
@given(st.lists(records, min_size=1, max_size=30), st.integers(0, MAX_HASH_KEY))
def test_the_size_is_known_exactly_after_each_record(given_records: list[UserRecord], hash_key: int) -> None:
    growing = Aggregate(hash_key)
    for record in given_records:
        assert growing.add(record)
        assert len(growing.data()) == growing.bytes


@settings(deadline=None)
@given(st.lists(records, min_size=1, max_size=5), records)
def test_a_record_is_added_if_and_only_if_it_fits(given_records: list[UserRecord], last: UserRecord) -> None:
    growing, exact = Aggregate(KEY), Aggregate(KEY)
    for record in given_records:
        assert growing.add(record)
        assert exact.add(record)
    assert growing.add(last)
    before = exact.data()
    assert not exact.add(last, growing.bytes - 1)
    assert exact.data() == before
    assert exact.add(last, growing.bytes)
    assert exact.data() == growing.data()


@pytest.mark.parametrize("sizes", [range(1, 300), range(16_360, 16_400), range(2**20 - 2_048, 2**20 - 2_000)])
def test_a_record_of_any_size_is_framed_at_its_exact_size(sizes: range) -> None:
    for size in sizes:
        lone = Aggregate(KEY)
        assert lone.add(sized(size))
        assert len(lone.data()) == lone.bytes
        assert read_record("outer", lone.data()) == [UserRecord("req-1", sized(size).data, str(KEY))]


def test_each_byte_around_the_target_arrives_and_keeps_to_it() -> None:
    """The library's own aggregator loses a record that fills an aggregate to within its 20 bytes of frame."""
    target = 1_000
    arrived = 0
    for size in range(target - 150, target + 50):
        given_records = [sized(size, "a"), sized(size, "b"), sized(10, "c"), sized(size, "a")]
        packed = aggregate(given_records, KEY, target)
        read = [record for data in packed for record in read_record("outer", data)]
        assert [record.data for record in read] == [record.data for record in given_records]
        alone = len(aggregate([sized(size, "a")], KEY, target)[0])
        assert all(len(data) <= max(target, alone) for data in packed)
        arrived += len(read)
    assert arrived == 800


def test_an_aggregate_is_closed_at_its_target_and_not_a_byte_before() -> None:
    both = [sized(100, "a"), sized(100, "b")]
    exact = len(aggregate(both, KEY, MAX_RECORD_BYTES)[0])
    assert [len(data) for data in aggregate(both, KEY, exact)] == [exact]
    assert len(aggregate(both, KEY, exact - 1)) == 2


def test_each_byte_around_the_limit_of_kinesis_arrives_or_is_refused_in_a_sentence() -> None:
    sizes = range(MAX_RECORD_BYTES - 200, MAX_RECORD_BYTES)
    largest = max(size for size in sizes if fits_alone(sized(size), KEY))
    for size in range(largest - 25, largest + 1):
        (data,) = aggregate([sized(size)], KEY, 1_000)
        assert len(data) == MAX_RECORD_BYTES - largest + size
        assert read_record("outer", data)[0].data == sized(size).data
    for size in range(largest + 1, largest + 26):
        assert not fits_alone(sized(size), KEY)
        with pytest.raises(RecordTooLarge, match="1047552 bytes"):
            aggregate([sized(size)], KEY, 1_000)


@pytest.mark.parametrize("key", ["x", "x" * 256, "\U0001f4e6" * 256])
@pytest.mark.parametrize("hash_key", [0, MAX_HASH_KEY])
def test_what_fits_alone_is_what_can_be_added(key: str, hash_key: int) -> None:
    for size in range(MAX_RECORD_BYTES - 1_300, MAX_RECORD_BYTES, 7):
        record = sized(size, key)
        assert fits_alone(record, hash_key) == Aggregate(hash_key).add(record)


def test_a_refused_record_leaves_the_aggregate_as_it_was() -> None:
    growing = Aggregate(KEY)
    growing.add(sized(10))
    before = growing.data()
    assert not growing.add(sized(MAX_RECORD_BYTES))
    for refused in (
        UserRecord("", b"x"),
        UserRecord("x" * 257, b"x"),
        UserRecord("\ud800", b"x"),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  one class, three sentences
            growing.add(refused)
    assert growing.data() == before
    growing.add(sized(20))
    assert [len(record.data) for record in read_record("outer", growing.data())] == [10, 20]


@pytest.mark.parametrize("hash_key", [-1, 2**128])
def test_a_hash_key_out_of_range_is_refused(hash_key: int) -> None:
    with pytest.raises(ValueError, match="between 0 and"):
        Aggregate(hash_key)


@pytest.mark.parametrize("key", ["ñ" * 256, "\U0001f4e6" * 256, "x" * 256, "0", " "])
def test_long_and_non_ascii_partition_keys_arrive(key: str) -> None:
    (data,) = aggregate([UserRecord(key, b"1"), UserRecord(key, b"2")], 0, 10_000)
    assert read_record("outer", data) == [UserRecord(key, b"1", "0"), UserRecord(key, b"2", "0")]


def test_a_record_that_is_not_aggregated_passes() -> None:
    assert read_record("req-1", b'{"a": 1}') == [UserRecord("req-1", b'{"a": 1}')]
    assert read_record("req-1", b"") == [UserRecord("req-1", b"")]


@settings(deadline=None)
@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_any_damaged_byte_is_noticed(given_records: list[UserRecord], data: st.DataObject) -> None:
    (whole,) = aggregate(given_records, KEY, MAX_RECORD_BYTES)
    position = data.draw(st.integers(len(MAGIC), len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BrokenAggregate):
        read_record("outer", bytes(damaged))


@settings(deadline=None)
@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_any_missing_end_is_noticed(given_records: list[UserRecord], data: st.DataObject) -> None:
    (whole,) = aggregate(given_records, KEY, MAX_RECORD_BYTES)
    with pytest.raises(BrokenAggregate):
        read_record("outer", whole[: data.draw(st.integers(len(MAGIC), len(whole) - 1))])


def message(change: Callable[[Any], None]) -> bytes:
    """An aggregate by another producer, of one good sub-record and what `change` does to it."""
    built = AggregatedRecord(partition_key_table=["req-1"], explicit_hash_key_table=["1"])
    built.records.add(partition_key_index=0, explicit_hash_key_index=0, data=b"x")
    change(built)
    return framed(built.SerializePartialToString())


BROKEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "a partition key that is not in the table": (
        lambda m: m.records.add(partition_key_index=1, explicit_hash_key_index=0, data=b"y"),
        "tables",
    ),
    "a hash key that is not in the table": (
        lambda m: m.records.add(partition_key_index=0, explicit_hash_key_index=9, data=b"y"),
        "tables",
    ),
    "no partition key": (lambda m: m.records.add(data=b"y"), "must have a partition key and data"),
    "no data": (lambda m: m.records.add(partition_key_index=0), "must have a partition key and data"),
    "no sub-records": (lambda m: m.ClearField("records"), "at least one sub-record"),
    "a hash key in words": (lambda m: m.explicit_hash_key_table.append("one"), "whole number"),
    "an empty hash key": (lambda m: m.explicit_hash_key_table.append(""), "whole number"),
    "a hash key with a leading zero": (lambda m: m.explicit_hash_key_table.append("01"), "whole number"),
    "a hash key in other digits": (lambda m: m.explicit_hash_key_table.append("\u0661"), "whole number"),
    "a hash key of 2^128": (lambda m: m.explicit_hash_key_table.append(str(2**128)), "whole number"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_an_aggregate_that_breaks_the_format_is_refused_whole(fault: str) -> None:
    assert len(read_record("outer", message(lambda _: None))) == 1
    change, sentence = BROKEN[fault]
    with pytest.raises(BrokenAggregate, match=sentence):
        read_record("outer", message(change))


def test_bytes_that_are_no_message_or_no_text_are_refused() -> None:
    with pytest.raises(BrokenAggregate, match="protobuf"):
        read_record("outer", framed(b"\xff\xff\xff"))
    with pytest.raises(BrokenAggregate, match=r"UTF-8|protobuf"):
        read_record("outer", framed(b"\x0a\x01\xff\x1a\x05\x08\x00\x1a\x01x"))


def test_a_sub_record_without_a_hash_key_has_none() -> None:
    data = message(lambda m: m.records.add(partition_key_index=0, data=b"y"))
    assert read_record("outer", data) == [UserRecord("req-1", b"x", "1"), UserRecord("req-1", b"y")]


def test_aws_own_deaggregator_reads_what_was_built() -> None:
    given_records = [UserRecord(f"req-{n % 3}-ñ", f"entry {n}".encode()) for n in range(50)]
    (data,) = aggregate(given_records, KEY, MAX_RECORD_BYTES)
    kinesis = {"kinesisSchemaVersion": "1.0", "sequenceNumber": "1", "approximateArrivalTimestamp": 1.0}
    event = [{"kinesis": {**kinesis, "partitionKey": "bucket-00", "data": base64.b64encode(data).decode()}}]
    read = [record["kinesis"] for record in deaggregate_records(event)]
    assert [r["partitionKey"] for r in read] == [r.partition_key for r in given_records]
    assert [base64.b64decode(r["data"]) for r in read] == [r.data for r in given_records]
    assert {r["explicitHashKey"] for r in read} == {str(KEY)}


def test_the_librarys_own_aggregator_would_lose_a_record_that_nearly_fills_it() -> None:
    """Why it is not used; when this fails, the library has been mended."""
    library = RecordAggregator(1_000)
    library.add_user_record("a", b"x" * 975)
    assert library.get_num_user_records() == 0
    assert len(aggregate([UserRecord("a", b"x" * 975)], KEY, 1_000)) == 1


def test_importing_it_leaves_the_import_path_alone() -> None:
    code = "import sys; before = list(sys.path); import processor.audit.kpl; print(before == sys.path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_no_other_module_touches_the_library() -> None:
    root = Path(__file__).parents[2]
    modules = [path for folder in ("handlers", "processor") for path in (root / folder).rglob("*.py")]
    touches = re.compile(r"^\s*(?:from|import) aws_kinesis_agg", re.MULTILINE)
    touching = [path.name for path in modules if touches.search(path.read_text())]
    assert touching == ["kpl.py"]
