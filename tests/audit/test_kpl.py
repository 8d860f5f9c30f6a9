"""Aggregates hold exactly what was added, are as full as they may be, and are read back strictly."""

import base64
import hashlib
import subprocess
import sys

import pytest
from aws_kinesis_agg import MAGIC
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records
from aws_kinesis_agg.messages_pb2 import AggregatedRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.audit.kpl import MAX_RECORD_BYTES, BrokenAggregate, Packer, read_record
from tests.audit.kcl_oracle import LAST_HASH_KEY

KEY = LAST_HASH_KEY // 2

partition_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
records = st.lists(st.tuples(partition_keys, st.binary(min_size=1, max_size=300)), min_size=1, max_size=30)
Records = list[tuple[str, bytes]]


def aggregate(given_records: Records, target: int, hash_key: int = KEY) -> list[bytes]:
    """The data of the aggregates, whose counts it checks."""
    packer = Packer(hash_key, target)
    assert all(packer.add(*record) for record in given_records)
    for data, count in packer.packed():
        assert len(read_record(data)) == count
    return [data for data, _ in packer.packed()]


def framed(body: bytes) -> bytes:
    magic: bytes = MAGIC
    return magic + body + hashlib.md5(body, usedforsecurity=False).digest()


@settings(deadline=None)
@given(records, st.integers(0, LAST_HASH_KEY), st.integers(1, 5_000))
def test_all_records_come_back_in_order_with_their_keys_in_aggregates_that_keep_to_the_target(
    given_records: Records, hash_key: int, target: int
) -> None:
    packed = aggregate(given_records, target, hash_key)
    assert [each for data in packed for each in read_record(data)] == [data for _, data in given_records]
    assert [each for data in packed for each in by_aws(data)] == [
        (key, str(hash_key), data) for key, data in given_records
    ]
    assert all(len(data) <= target or len(read_record(data)) == 1 for data in packed)


def by_aws(data: bytes) -> list[tuple[str, str, bytes]]:
    """Keys and data as AWS's own de-aggregator reads them."""
    kinesis = {"kinesisSchemaVersion": "1.0", "sequenceNumber": "1", "approximateArrivalTimestamp": 1.0}
    event = [{"kinesis": {**kinesis, "partitionKey": "bucket-00", "data": base64.b64encode(data).decode()}}]
    read = [record["kinesis"] for record in deaggregate_records(event)]
    return [(each["partitionKey"], each["explicitHashKey"], base64.b64decode(each["data"])) for each in read]


@settings(deadline=None)
@given(records)
def test_an_aggregate_is_closed_at_its_target_and_not_a_byte_before(given_records: Records) -> None:
    (whole,) = aggregate(given_records, MAX_RECORD_BYTES)
    assert aggregate(given_records, len(whole)) == [whole]
    assert len(aggregate(given_records, len(whole) - 1)) == min(2, len(given_records))


def test_each_byte_around_the_target_arrives_and_keeps_to_it() -> None:
    """The library's own aggregator loses a record that fills an aggregate to within its 20 bytes of frame."""
    for size in range(850, 1_050):
        large = b"%d" % size + b"." * size
        given_records = [("a", large), ("b", large), ("c", b"small"), ("a", large)]
        packed = aggregate(given_records, 1_000)
        assert [each for data in packed for each in read_record(data)] == [data for _, data in given_records]


@pytest.mark.parametrize("key", ["x", "x" * 256, "\U0001f4e6" * 256])
@pytest.mark.parametrize("hash_key", [0, LAST_HASH_KEY])
def test_each_byte_around_the_limit_of_kinesis_arrives_or_is_refused(key: str, hash_key: int) -> None:
    (empty,) = aggregate([(key, b"x" * 500_000)], 1_000, hash_key)
    largest = MAX_RECORD_BYTES - len(empty) + 500_000
    for size in range(largest - 25, largest + 26):
        packer = Packer(hash_key, 1_000)
        assert packer.add(key, b"x" * size) is (size <= largest)
        assert [(len(data), count) for data, count in packer.packed()] == (
            [(MAX_RECORD_BYTES - largest + size, 1)] if size <= largest else []
        )


def test_a_refused_record_leaves_the_others_as_they_were() -> None:
    packer = Packer(KEY, MAX_RECORD_BYTES)
    assert packer.add("a", b"first")
    assert not packer.add("a", b"x" * MAX_RECORD_BYTES)
    with pytest.raises(UnicodeEncodeError):
        packer.add("\ud800", b"x")
    assert packer.add("a", b"last")
    assert [read_record(data) for data, _ in packer.packed()] == [[b"first", b"last"]]


@pytest.mark.parametrize("data", [b'{"a": 1}', b""])
def test_a_record_that_is_not_aggregated_passes(data: bytes) -> None:
    assert read_record(data) == [data]


@settings(deadline=None)
@given(records, st.data())
def test_any_damaged_byte_and_any_missing_end_is_noticed(given_records: Records, data: st.DataObject) -> None:
    (whole,) = aggregate(given_records, MAX_RECORD_BYTES)
    position = data.draw(st.integers(len(MAGIC), len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255))
    for broken in (bytes(damaged), whole[:position]):
        with pytest.raises(BrokenAggregate):
            read_record(broken)


@pytest.mark.parametrize(
    ("sub_records", "sentence"),
    [
        ([], "must hold sub-records"),
        ([{"data": b"y"}], "each with a partition key and data"),
        ([{"partition_key_index": 0}], "each with a partition key and data"),
    ],
)
def test_an_aggregate_that_breaks_the_format_is_refused_whole(
    sub_records: list[dict[str, object]], sentence: str
) -> None:
    built = AggregatedRecord(partition_key_table=["req-1"])
    for fields in sub_records:
        built.records.add(partition_key_index=0, data=b"x")
        built.records.add(**fields)
    with pytest.raises(BrokenAggregate, match=sentence):
        read_record(framed(built.SerializePartialToString()))


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(BrokenAggregate, match="protobuf"):
        read_record(framed(b"\xff\xff\xff"))


def test_the_librarys_own_aggregator_would_lose_a_record_that_nearly_fills_it() -> None:
    """Why it is not used; when this fails, the library has been mended."""
    library = RecordAggregator(1_000)
    library.add_user_record("a", b"x" * 975)
    assert library.get_num_user_records() == 0
    assert len(aggregate([("a", b"x" * 975)], 1_000)) == 1


def test_importing_it_leaves_the_import_path_alone() -> None:
    code = "import sys; before = list(sys.path); import processor.audit.kpl; print(before == sys.path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
