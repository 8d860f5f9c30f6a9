"""Entries reach Kinesis at least once, in order per export, with the same ids, whatever PutRecords does."""

import heapq
import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.audit import AuditEntry
from processor.audit.kpl import MAX_RECORD_BYTES
from processor.audit.sinks.base import SinkUnavailable
from processor.audit.sinks.kinesis import OUTAGE_FAILURES, KinesisPut, KinesisSink, bucket_number, buckets_of
from processor.streams.record_processor import Interrupted
from tests.audit.entries import Clock, always, entry, ids_by_export, put_all
from tests.audit.kcl_oracle import LAST_HASH_KEY
from tests.audit.kinesis_standin import FAULTS, MIB, Fault, Kinesis, client_error


def sink_of(kinesis: Kinesis, **options: Any) -> KinesisSink:
    values: dict[str, Any] = {"buckets": 16, "clock": kinesis.clock} | options
    return KinesisSink(kinesis, "export-audit", **values)


def finish(put: KinesisPut, clock: Clock) -> None:
    """Goes on until all is durable, as a reader does."""
    for _ in range(1_000):
        try:
            return put.go_on(always)
        except SinkUnavailable as unavailable:
            clock.wait(unavailable.retry_seconds or 30.0)
    raise AssertionError("never durable")


def put_through(kinesis: Kinesis, entries: list[AuditEntry], **options: Any) -> None:
    """Puts a page through all faults; each entry arrives, in order."""
    finish(sink_of(kinesis, **options).begin(entries), kinesis.clock)
    assert kinesis.first_appearances() == ids_by_export(entries)


def page(count: int, exports: int = 50) -> list[AuditEntry]:
    return [entry(f"id-{number}", f"req-{number % exports}") for number in range(count)]


def test_a_page_of_usual_entries_takes_one_call_of_one_record_a_bucket() -> None:
    kinesis = Kinesis()
    entries = page(1_000, exports=1_000)
    assert put_all(sink_of(kinesis), entries) == []
    assert [len(call) for call in kinesis.calls] == [16]
    assert kinesis.first_appearances() == ids_by_export(entries)


def test_buckets_are_the_middles_of_equal_slices_and_stay_as_they_are() -> None:
    assert [bucket.hash_key * 8 // 2**128 for bucket in buckets_of(4)] == [1, 3, 5, 7]
    assert buckets_of(1)[0].hash_key == 2**127
    # A release that moved an export to another bucket would let its entries overtake each other.
    known = {"req-1": 11, "req-2": 5, "ñ": 14, "x" * 256: 7}
    assert {request_id: bucket_number(request_id, 16) for request_id in known} == known


@pytest.mark.parametrize("fault", FAULTS)
def test_after_every_fault_all_entries_arrive_in_order(fault: str) -> None:
    put_through(Kinesis([FAULTS[fault]] * 3), page(400, exports=20), target_bytes=4_096)


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
    kinesis = Kinesis([FAULTS[fault] for fault in faults])
    for hash_key in splits:
        kinesis.split(hash_key)
    entries = [entry(f"id-{number}", f"req-{export}") for number, export in enumerate(exports)]
    put_through(kinesis, entries, buckets=buckets, target_bytes=target)


@pytest.mark.parametrize(
    ("fault", "again"), [("partial failure", slice(1, None, 2)), ("timeout after the put", slice(None))]
)
def test_only_what_is_not_acknowledged_is_sent_again_byte_for_byte(fault: str, again: slice) -> None:
    kinesis = Kinesis([FAULTS[fault]])
    put_through(kinesis, page(400))
    first, second = kinesis.calls
    assert second == first[again]


@pytest.mark.parametrize("fault", ["all records throttled", "call throttled", "server error"])
def test_each_failure_is_followed_by_a_longer_wait_and_several_are_an_outage(fault: str) -> None:
    kinesis = Kinesis([FAULTS[fault]] * 100)
    put = sink_of(kinesis, buckets=1).begin(page(10))
    waits, outages = [], []
    for _ in range(OUTAGE_FAILURES):
        for _before_its_time in range(2):
            with pytest.raises(SinkUnavailable, match="sink kinesis: PutRecords") as caught:
                put.go_on(always)
        waits.append(caught.value.retry_seconds or 0.0)
        outages.append(caught.value.is_outage)
        kinesis.clock.wait(waits[-1])
    assert len(kinesis.calls) == OUTAGE_FAILURES
    assert outages == [False] * (OUTAGE_FAILURES - 1) + [True]
    assert all(0.5 * 0.1 * 2**n <= wait <= 0.1 * 2**n for n, wait in enumerate(waits))


def test_one_blocked_bucket_does_not_delay_the_others_and_repeats_nothing() -> None:
    kinesis, entries = Kinesis(), page(400)
    kinesis.blocked = {"bucket-5"}
    put = sink_of(kinesis, target_bytes=2_000).begin(entries)
    blocked = [number for number, each in enumerate(entries) if bucket_number(each.request_id, 16) == 5]
    for _ in range(100):
        with pytest.raises(SinkUnavailable) as caught:
            put.go_on(always)
        kinesis.clock.wait(caught.value.retry_seconds or 0.0)
    arrived = [each.audit_id for each in kinesis.entries()]
    assert sorted(arrived) == sorted(
        each.audit_id for number, each in enumerate(entries) if number not in blocked
    )
    assert put.durable == blocked[0] > 0
    kinesis.blocked = set()
    finish(put, kinesis.clock)
    assert put.durable == len(entries)
    assert kinesis.first_appearances() == ids_by_export(entries)
    assert len(kinesis.records) == len({record["Data"] for record in kinesis.records})


def fill_throttled_shard(readers: int) -> tuple[float, float]:
    """Readers put page after page, as fast as they may read them.

    Returns:
        The share of new entries in what the shard accepted, and the used share of what it could accept.
    """
    random.seed(1)  # the jitter of back-offs: the same at each run
    kinesis, seconds, pages = Kinesis(limited=True), 20, itertools.count()
    sink, clock = sink_of(kinesis), kinesis.clock

    def next_put() -> KinesisPut:
        page, error = next(pages), "x" * 4_000
        return sink.begin([entry(f"{page}-{n}", f"req-{page}-{n}", error=error) for n in range(250)])

    due = [(0.0, reader, next_put()) for reader in range(readers)]
    while clock() < seconds:
        at, reader, put = heapq.heappop(due)
        clock.seconds = max(clock(), at)
        try:
            put.go_on(always)
        except SinkUnavailable as unavailable:
            heapq.heappush(due, (clock() + (unavailable.retry_seconds or 30.0), reader, put))
        else:
            heapq.heappush(due, (clock() + 0.25, reader, next_put()))
    arrived = [each.audit_id for each in kinesis.entries()]
    stored = sum(len(record["Data"]) for record in kinesis.records)
    return len(set(arrived)) / len(arrived), stored / (seconds * MIB)


def test_readers_of_a_throttled_shard_fill_it_with_new_entries() -> None:
    new_share, used_share = fill_throttled_shard(readers=12)
    assert new_share >= 0.9
    assert used_share >= 0.9


@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "InvalidArgumentException"]
)
def test_an_error_for_operators_is_an_outage_at_once_and_names_the_code(code: str) -> None:
    kinesis = Kinesis([Fault(lambda _: False, raises=lambda: client_error(code))])
    put = sink_of(kinesis).begin(page(10))
    with pytest.raises(SinkUnavailable, match=code) as caught:
        put.go_on(always)
    assert caught.value.is_outage
    assert len(kinesis.calls) == 1
    put.go_on(always)
    assert put.durable == 10


def test_the_lease_is_asked_for_before_every_call_and_the_put_continues_behind_what_is_durable() -> None:
    kinesis = Kinesis()
    put = sink_of(kinesis, buckets=1, target_bytes=1).begin(page(10))
    for answers in (iter([False]), iter([True, True, False])):
        with pytest.raises(Interrupted):
            put.go_on(lambda answers=answers: next(answers))  # type: ignore[misc]
    assert put.durable == len(kinesis.calls) == 2
    put.go_on(always)
    assert [each.audit_id for each in kinesis.entries()] == [each.audit_id for each in page(10)]


def test_each_byte_around_the_limit_arrives_or_is_refused_alone() -> None:
    bare = len(entry("large", "req-1", error="").to_json().encode())
    refused: list[int] = []
    for size in range(MAX_RECORD_BYTES - 100, MAX_RECORD_BYTES):
        kinesis = Kinesis()
        large = entry("large", "req-1", error="x" * (size - bare))
        refusals = put_all(sink_of(kinesis), [entry("before", "req-1"), large, entry("after", "req-1")])
        assert [refusal.entry.audit_id for refusal in refusals] in ([], ["large"])
        assert all("1047552 bytes" in refusal.reason for refusal in refusals)
        refused += [size] * len(refusals)
        expected = ["before", "after"] if refusals else ["before", "large", "after"]
        assert kinesis.first_appearances() == {"req-1": expected}
    assert 0 < len(refused) < 100
    assert refused == list(range(refused[0], MAX_RECORD_BYTES)), "the largest are refused"


def test_entries_that_fill_more_than_a_call_are_spread_over_calls() -> None:
    kinesis = Kinesis()  # refuses more than 5 MiB or 500 records in a call
    entries = [entry(f"id-{n}", f"req-{n}", error="x" * (MIB - 3_000)) for n in range(12)]
    assert put_all(sink_of(kinesis, buckets=1_000), entries) == []
    assert kinesis.first_appearances() == ids_by_export(entries)


def test_more_buckets_than_a_call_may_carry_are_spread_over_calls() -> None:
    kinesis = Kinesis()
    entries = page(1_500, exports=1_500)
    assert put_all(sink_of(kinesis, buckets=2_000), entries) == []
    assert [len(call) for call in kinesis.calls[:2]] == [500, 500]
    assert kinesis.first_appearances() == ids_by_export(entries)


def test_an_entry_that_utf8_cannot_hold_is_refused_alone() -> None:
    kinesis = Kinesis()
    broken = msgspec.structs.replace(entry("2", "req-1"), error="\ud800")
    broken_id = msgspec.structs.replace(entry("3", "req-1"), request_id="\udfff")
    refusals = put_all(sink_of(kinesis), [entry("1", "req-1"), broken, broken_id, entry("4", "req-1")])
    assert [refusal.entry for refusal in refusals] == [broken, broken_id]
    assert all("UTF-8" in refusal.reason for refusal in refusals)
    assert kinesis.first_appearances() == {"req-1": ["1", "4"]}
