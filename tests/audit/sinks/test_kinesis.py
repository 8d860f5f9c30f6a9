"""Entries reach Kinesis at least once, in order per export, with the same ids, whatever PutRecords does."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.audit import AuditEntry
from processor.audit.kpl import MAX_RECORD_BYTES, UserRecord, fits_alone, read_record
from processor.audit.sinks.base import SinkInterrupted, SinkUnavailable
from processor.audit.sinks.kinesis import MAX_ATTEMPTS, KinesisSink, bucket_number, buckets_of
from tests.audit.fake_kinesis import (
    ALL_THROTTLED,
    FAULTS,
    MIB,
    PARTIAL,
    SERVER_ERROR,
    THROTTLED_CALL,
    TIMEOUT_AFTER,
    FakeKinesis,
    Fault,
    client_error,
    entry,
)
from tests.audit.kcl_oracle import LAST_HASH_KEY, WHOLE, split


def always() -> bool:
    return True


def no_wait(_seconds: float) -> bool:
    return False


def sink_of(
    kinesis: FakeKinesis,
    *,
    buckets: int = 16,
    wait: Callable[[float], bool] = no_wait,
    target_bytes: int = 128 * 1_024,
) -> KinesisSink:
    return KinesisSink(kinesis, "export-audit", buckets=buckets, wait=wait, target_bytes=target_bytes)


def page(count: int, exports: int = 50) -> list[AuditEntry]:
    return [entry(f"id-{number}", f"req-{number % exports}") for number in range(count)]


def put_until_taken(sink: KinesisSink, entries: Sequence[AuditEntry]) -> int:
    """Puts as the reader of a shard does: the same entries again for as long as the sink is unavailable."""
    for attempt in range(1, 200):
        try:
            assert sink.put(entries, always) == []
        except SinkUnavailable:
            continue
        return attempt
    raise AssertionError("never taken")


def in_order(entries: Sequence[AuditEntry]) -> dict[str, list[str]]:
    """The audit ids of each export in the order in which they were given."""
    expected: dict[str, list[str]] = {}
    for given_entry in entries:
        expected.setdefault(given_entry.request_id, []).append(given_entry.audit_id)
    return expected


def test_a_page_of_usual_entries_takes_one_call_of_one_record_a_bucket() -> None:
    kinesis = FakeKinesis()
    entries = page(1_000, exports=1_000)
    assert sink_of(kinesis).put(entries, always) == []
    assert [len(call) for call in kinesis.calls] == [16]
    assert kinesis.first_appearances() == in_order(entries)


def test_no_entries_take_no_call() -> None:
    kinesis = FakeKinesis()
    assert sink_of(kinesis).put([], always) == []
    assert kinesis.calls == []


def test_the_records_of_one_bucket_go_one_after_the_other() -> None:
    kinesis = FakeKinesis()
    entries = page(300, exports=3)
    sink_of(kinesis, target_bytes=4_096).put(entries, always)
    assert len(kinesis.calls) >= 20
    assert kinesis.first_appearances() == in_order(entries)


def test_sub_records_carry_the_request_id_and_the_hash_key_of_their_bucket() -> None:
    kinesis = FakeKinesis()
    entries = page(200)
    sink_of(kinesis, buckets=4).put(entries, always)
    buckets = buckets_of(4)
    for _, record in kinesis.records:
        for sub_record in read_record(record["PartitionKey"], record["Data"]):
            bucket = buckets[bucket_number(sub_record.partition_key, 4)]
            assert record["PartitionKey"] == bucket.name
            assert record["ExplicitHashKey"] == sub_record.explicit_hash_key == str(bucket.hash_key)
            assert AuditEntry.model_validate_json(sub_record.data).request_id == sub_record.partition_key
    names = {record["PartitionKey"] for _, record in kinesis.records}
    assert names == {"bucket-0", "bucket-1", "bucket-2", "bucket-3"}


def test_buckets_are_the_middles_of_equal_slices_and_stay_as_they_are() -> None:
    assert [bucket.hash_key * 8 // 2**128 for bucket in buckets_of(4)] == [1, 3, 5, 7]
    assert buckets_of(1)[0].hash_key == 2**127
    # A release that moved an export to another bucket would let its entries overtake each other.
    known = {"req-1": 11, "req-2": 5, "ñ": 14, "x" * 256: 7}
    assert {request_id: bucket_number(request_id, 16) for request_id in known} == known


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_outlived_in_order(fault: str) -> None:
    kinesis = FakeKinesis([FAULTS[fault]] * 3)
    entries = page(400, exports=20)
    assert put_until_taken(sink_of(kinesis, target_bytes=4_096), entries) == 1
    assert kinesis.first_appearances() == in_order(entries)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(sorted(FAULTS)), max_size=40),
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.integers(1, 5),
    st.sampled_from([1, 2_000, 128 * 1_024]),
    st.lists(st.integers(1, LAST_HASH_KEY), max_size=4),
)
def test_any_faults_over_any_shards_lose_nothing_and_keep_order(
    faults: list[str], exports: list[int], buckets: int, target: int, splits: list[int]
) -> None:
    shards = [WHOLE]
    for new_start in splits:
        holder = next(index for index, shard in enumerate(shards) if shard.holds(new_start))
        shards = split(shards, holder, new_start)
    kinesis = FakeKinesis([FAULTS[fault] for fault in faults], shards=shards)
    entries = [entry(f"id-{number}", f"req-{export}") for number, export in enumerate(exports)]
    put_until_taken(sink_of(kinesis, buckets=buckets, target_bytes=target), entries)
    assert kinesis.first_appearances() == in_order(entries)


def test_what_failed_is_sent_again_byte_for_byte_and_what_was_taken_is_not() -> None:
    kinesis = FakeKinesis([PARTIAL])
    sink_of(kinesis).put(page(400), always)
    first, second = kinesis.calls
    assert second == first[1::2]


def test_a_timeout_after_the_put_repeats_the_same_bytes() -> None:
    kinesis = FakeKinesis([TIMEOUT_AFTER])
    sink_of(kinesis).put(page(400), always)
    first, second = kinesis.calls
    assert first == second
    assert sorted(e.audit_id for e in kinesis.entries()) == sorted([e.audit_id for e in page(400)] * 2)


def test_an_answer_that_leaves_records_out_counts_as_none_taken() -> None:
    class Short(FakeKinesis):
        def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            answer = super().put_records(StreamName=StreamName, Records=Records)
            if len(self.calls) == 1:
                answer["Records"] = answer["Records"][:-1]
            return answer

    kinesis = Short()
    entries = page(100)
    sink_of(kinesis).put(entries, always)
    assert len(kinesis.calls) == 2
    assert kinesis.first_appearances() == in_order(entries)


def test_an_answer_without_results_counts_as_none_taken() -> None:
    class Silent(FakeKinesis):
        def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            answer = super().put_records(StreamName=StreamName, Records=Records)
            return {} if len(self.calls) == 1 else answer

    kinesis = Silent()
    entries = page(100)
    sink_of(kinesis).put(entries, always)
    assert len(kinesis.calls) == 2
    assert kinesis.first_appearances() == in_order(entries)


@pytest.mark.parametrize("fault", [ALL_THROTTLED, THROTTLED_CALL, SERVER_ERROR])
def test_a_stream_that_stays_down_is_unavailable_after_bounded_attempts(fault: Fault) -> None:
    kinesis = FakeKinesis([fault] * 100)
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return False

    with pytest.raises(SinkUnavailable, match="sink kinesis: PutRecords"):
        sink_of(kinesis, wait=wait).put(page(10), always)
    assert len(kinesis.calls) == MAX_ATTEMPTS
    assert waits == sorted(waits)
    assert 0.05 <= waits[0] <= 0.1
    assert 1 < sum(waits) < 10


def test_one_throttled_shard_does_not_hold_back_the_other_buckets() -> None:
    kinesis = FakeKinesis([Fault(taken=lambda index: index != 0)] * 100)
    entries = page(400)
    with pytest.raises(SinkUnavailable):
        sink_of(kinesis, target_bytes=2_000).put(entries, always)
    held = kinesis.calls[0][0]["PartitionKey"]
    others = [e.audit_id for e in entries if f"bucket-{bucket_number(e.request_id, 16)}" != held]
    first_of_each = {read_record("", record["Data"])[0].data for _, record in kinesis.records}
    assert held not in {record["PartitionKey"] for _, record in kinesis.records}
    assert len(first_of_each) >= MAX_ATTEMPTS - 1
    assert set(others) >= {e.audit_id for e in kinesis.entries()} != set()


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "InvalidArgumentException"]
)
def test_what_no_retry_mends_is_unavailable_at_once_and_names_the_code(code: str) -> None:
    kinesis = FakeKinesis([Fault(lambda _: False, raises=lambda: client_error(code))])
    with pytest.raises(SinkUnavailable, match=code):
        sink_of(kinesis).put(page(10), always)
    assert len(kinesis.calls) == 1


def test_nothing_is_put_once_the_lease_is_not_trusted() -> None:
    kinesis = FakeKinesis()
    with pytest.raises(SinkInterrupted):
        sink_of(kinesis).put(page(10), lambda: False)
    assert kinesis.calls == []


def test_the_lease_is_asked_for_before_every_call() -> None:
    trusted = iter([True, True, False])
    kinesis = FakeKinesis()
    with pytest.raises(SinkInterrupted):
        sink_of(kinesis, buckets=1, target_bytes=1).put(page(10), lambda: next(trusted))
    assert len(kinesis.calls) == 2


def test_a_stop_ends_the_back_off() -> None:
    kinesis = FakeKinesis([ALL_THROTTLED] * 3)
    with pytest.raises(SinkInterrupted):
        sink_of(kinesis, wait=lambda _: True).put(page(10), always)
    assert len(kinesis.calls) == 1


def padded(audit_id: str, size: int) -> AuditEntry:
    """An entry whose JSON is exactly so many bytes."""
    bare = entry(audit_id, "req-1", error="")
    return entry(audit_id, "req-1", error="x" * (size - len(bare.to_json().encode())))


def test_each_byte_around_the_limit_arrives_or_is_refused_alone() -> None:
    hash_key = buckets_of(16)[bucket_number("req-1", 16)].hash_key
    sizes = range(MAX_RECORD_BYTES - 200, MAX_RECORD_BYTES)
    largest = max(size for size in sizes if fits_alone(UserRecord("req-1", b"x" * size), hash_key))
    for size in range(largest - 22, largest + 4):
        kinesis = FakeKinesis()
        entries = [entry("before", "req-1"), padded("large", size), entry("after", "req-1")]
        refusals = sink_of(kinesis).put(entries, always)
        fits = size <= largest
        assert [refusal.entry.audit_id for refusal in refusals] == ([] if fits else ["large"])
        assert all("1047552 bytes" in refusal.reason for refusal in refusals)
        expected = ["before", "large", "after"] if fits else ["before", "after"]
        assert kinesis.first_appearances() == {"req-1": expected}


@pytest.mark.parametrize("target", [2_000, 128 * 1_024])
def test_each_byte_around_the_target_arrives_in_order(target: int) -> None:
    for size in range(target - 150, target + 5):
        kinesis = FakeKinesis()
        entries = [entry("1", "req-1"), padded("2", size), entry("3", "req-1"), padded("4", size)]
        assert sink_of(kinesis, target_bytes=target).put(entries, always) == []
        assert kinesis.first_appearances() == {"req-1": ["1", "2", "3", "4"]}


def test_entries_that_fill_more_than_a_call_are_spread_over_calls() -> None:
    kinesis = FakeKinesis()  # refuses more than 5 MiB or 500 records in a call
    entries = [entry(f"id-{n}", f"req-{n}", error="x" * (MIB - 3_000)) for n in range(12)]
    assert sink_of(kinesis, buckets=1_000).put(entries, always) == []
    assert kinesis.first_appearances() == in_order(entries)


def test_more_buckets_than_a_call_may_carry_are_spread_over_calls() -> None:
    kinesis = FakeKinesis()
    entries = page(1_500, exports=1_500)
    assert sink_of(kinesis, buckets=2_000).put(entries, always) == []
    assert [len(call) for call in kinesis.calls[:2]] == [500, 500]
    assert kinesis.first_appearances() == in_order(entries)


@pytest.mark.parametrize("request_id", ["ñ" * 256, "\U0001f4e6" * 256, "x" * 256, "\x00", '"\\\n', "x"])
def test_long_and_unusual_ids_arrive(request_id: str) -> None:
    kinesis = FakeKinesis()
    entries = [entry("1", request_id, file_name="informe año.csv"), entry("2", request_id)]
    assert sink_of(kinesis).put(entries, always) == []
    assert list(kinesis.entries()) == entries


def test_an_entry_that_utf8_cannot_hold_is_refused_alone() -> None:
    kinesis = FakeKinesis()
    broken = entry("2", "req-1").model_copy(update={"error": "\ud800"})
    broken_id = entry("3", "req-1").model_copy(update={"request_id": "\udfff"})
    refusals = sink_of(kinesis).put([entry("1", "req-1"), broken, broken_id, entry("4", "req-1")], always)
    assert [refusal.entry for refusal in refusals] == [broken, broken_id]
    assert all("UTF-8" in refusal.reason for refusal in refusals)
    assert kinesis.first_appearances() == {"req-1": ["1", "4"]}


@pytest.mark.parametrize(("buckets", "target"), [(0, 1_000), (16, 0), (16, MAX_RECORD_BYTES + 1)])
def test_settings_that_cannot_work_are_refused(buckets: int, target: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        sink_of(FakeKinesis(), buckets=buckets, target_bytes=target)
