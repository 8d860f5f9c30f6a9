"""A reader that follows the Kinesis Client Library's rule drops no sub-record, however shards change."""

import pytest
from aws_kinesis_agg.aggregator import AggRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.audit.kpl import MAX_RECORD_BYTES, Packer
from processor.audit.sinks.kinesis import Bucket, buckets_of
from tests.audit.kcl_oracle import LAST_HASH_KEY, WHOLE, Shard, accepted
from tests.audit.kinesis_standin import Kinesis

reshardings = st.lists(
    st.tuples(st.sampled_from(["split", "merge"]), st.integers(0, LAST_HASH_KEY)), max_size=25
)
request_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


def built(keys: list[str], bucket: Bucket) -> bytes:
    packer = Packer(bucket.hash_key, MAX_RECORD_BYTES)
    assert all(packer.add(key, str(number).encode()) for number, key in enumerate(keys))
    ((data, count),) = packer.packed()
    assert count == len(keys)
    return data


@settings(deadline=None)
@given(st.lists(request_ids, min_size=1, max_size=20), st.integers(1, 100), st.data(), reshardings)
def test_all_sub_records_are_accepted_after_any_splits_and_merges(
    keys: list[str], buckets: int, data: st.DataObject, changes: list[tuple[str, int]]
) -> None:
    bucket = data.draw(st.sampled_from(buckets_of(buckets)))
    record, stream = built(keys, bucket), Kinesis()
    for kind, hash_key in changes:
        (stream.split if kind == "split" else stream.merge)(hash_key)
        # Kinesis may take the record at any of these moments; its shard's range never changes.
        shard = stream.open_at(bucket.hash_key).hash_range
        assert accepted(record, shard) == [str(number).encode() for number in range(len(keys))]


@pytest.mark.parametrize("buckets", [1, 2, 3, 16, 500])
def test_even_a_split_at_a_buckets_own_hash_key_drops_nothing(buckets: int) -> None:
    for bucket in buckets_of(buckets):
        assert len(accepted(built(["a", "b"], bucket), Shard(bucket.hash_key, bucket.hash_key))) == 2


@pytest.mark.parametrize("foreign", [0, 1, 2])
def test_one_foreign_hash_key_loses_the_whole_aggregate(foreign: int) -> None:
    """The negative control: the oracle does drop, and the rule that is kept is the one that matters."""
    lower, upper = buckets_of(2)
    library = AggRecord(MAX_RECORD_BYTES)
    for place in range(3):
        hash_key = (upper if place == foreign else lower).hash_key
        assert library.add_user_record(b"req-1", b"x", str(hash_key).encode())
    _, _, data = library.get_contents()
    assert accepted(data, Shard(0, 2**127 - 1)) == accepted(data, Shard(2**127, LAST_HASH_KEY)) == []
    assert len(accepted(data, WHOLE)) == 3


def test_without_hash_keys_a_split_would_lose_aggregates() -> None:
    """The other negative control: sub-records judged by the MD5 of their partition keys."""
    library = AggRecord(MAX_RECORD_BYTES)
    for number in range(20):
        assert library.add_user_record(f"req-{number}".encode(), b"x")
    _, _, data = library.get_contents()
    assert len(accepted(data, WHOLE)) == 20
    assert accepted(data, Shard(0, 2**127 - 1)) == accepted(data, Shard(2**127, LAST_HASH_KEY)) == []
