"""A reader that follows the Kinesis Client Library's rule drops no sub-record, however shards change."""

import pytest
from aws_kinesis_agg.aggregator import AggRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.audit.kpl import MAX_RECORD_BYTES, UserRecord, aggregate
from processor.audit.sinks.kinesis import Bucket, buckets_of
from tests.audit.kcl_oracle import LAST_HASH_KEY, WHOLE, Shard, accepted, merge, shard_of, split

reshardings = st.lists(
    st.tuples(st.sampled_from(["split", "merge"]), st.integers(0, 200), st.integers(0, LAST_HASH_KEY)),
    max_size=25,
)
request_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


def built(request_ids_given: list[str], bucket: Bucket) -> bytes:
    records = [UserRecord(key, str(number).encode()) for number, key in enumerate(request_ids_given)]
    (packed,) = aggregate(records, bucket.hash_key, MAX_RECORD_BYTES)
    return packed.data


@settings(deadline=None)
@given(st.lists(request_ids, min_size=1, max_size=20), st.integers(1, 100), st.data(), reshardings)
def test_all_sub_records_are_accepted_after_any_splits_and_merges(
    keys: list[str], buckets: int, data: st.DataObject, changes: list[tuple[str, int, int]]
) -> None:
    bucket = data.draw(st.sampled_from(buckets_of(buckets)))
    record = built(keys, bucket)
    shards = [WHOLE]
    for kind, number, hash_key in changes:
        index = number % len(shards)
        shards = split(shards, index, hash_key) if kind == "split" else merge(shards, index)
        # Kinesis may take the record at any of these moments; its shard's range never changes.
        shard = shard_of(shards, str(bucket.hash_key))
        assert accepted(record, shard) == [str(number).encode() for number in range(len(keys))]


@pytest.mark.parametrize("buckets", [1, 2, 3, 16, 500])
def test_even_a_split_at_a_buckets_own_hash_key_drops_nothing(buckets: int) -> None:
    for number in range(buckets):
        bucket = buckets_of(buckets)[number]
        record = built(["a", "b"], bucket)
        for new_start in (bucket.hash_key, bucket.hash_key + 1):
            shards = split([WHOLE], 0, new_start)
            assert len(accepted(record, shard_of(shards, str(bucket.hash_key)))) == 2
        assert len(accepted(record, Shard(bucket.hash_key, bucket.hash_key))) == 2


def test_one_foreign_hash_key_loses_the_whole_aggregate() -> None:
    """The negative control: the oracle does drop, and the rule that is kept is the one that matters."""
    lower, upper = split([WHOLE], 0, 2**127)
    own, foreign = buckets_of(2)[0], buckets_of(2)[1]
    for keys in ([own, own, foreign], [foreign, own, own], [own, foreign, own]):
        library = AggRecord(MAX_RECORD_BYTES)
        for bucket in keys:
            assert library.add_user_record(b"req-1", b"x", str(bucket.hash_key).encode())
        _, _, data = library.get_contents()
        assert accepted(data, lower) == []
        assert accepted(data, upper) == []
        assert len(accepted(data, WHOLE)) == 3


def test_without_hash_keys_a_split_would_lose_aggregates() -> None:
    """The other negative control: sub-records judged by the MD5 of their partition keys."""
    library = AggRecord(MAX_RECORD_BYTES)
    for number in range(20):
        assert library.add_user_record(f"req-{number}".encode(), b"x")
    _, _, data = library.get_contents()
    assert len(accepted(data, WHOLE)) == 20
    assert all(accepted(data, shard) == [] for shard in split([WHOLE], 0, 2**127))
