"""The audit stream is read whole and in order per hash key, whatever its shards and its throttling do."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.audit.tail import MAX_FAILURES, KinesisReader
from processor.aws.errors import Misconfigured, NotFound, Transient
from tests.audit.kcl_oracle import LAST_HASH_KEY
from tests.audit.kinesis_standin import START, Kinesis, client_error

KEYS = [LAST_HASH_KEY * n // 5 for n in range(6)]
FOREVER = START + timedelta(days=1)

changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS)),
        st.tuples(st.just("split"), st.integers(0, LAST_HASH_KEY)),
        st.tuples(st.just("merge"), st.sampled_from(KEYS)),
    ),
    max_size=40,
)


def reader_of(stream: Kinesis, since: datetime | None = None) -> KinesisReader:
    return KinesisReader(stream, "export-audit", since=since, wait=stream.clock.wait, clock=stream.clock)


def read(stream: Kinesis, *, since: datetime | None = None, until: datetime = FOREVER) -> list[bytes]:
    return [record.data for page in reader_of(stream, since).pages(until) for record in page]


def apply(stream: Kinesis, change: str, key: int, number: int) -> None:
    match change:
        case "put":
            stream.put(key, f"{KEYS.index(key)}:{number}".encode())
        case "split":
            stream.split(key)
        case "merge":
            stream.merge(key)


def by_key(data: list[bytes]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for record in data:
        key, _, number = record.partition(b":")
        found.setdefault(key, []).append(int(number))
    return found


def expected(done: list[tuple[str, int]]) -> dict[bytes, list[int]]:
    puts = [f"{KEYS.index(key)}:{n}".encode() for n, (change, key) in enumerate(done) if change == "put"]
    return by_key(puts)


@settings(deadline=None)
@given(changes, changes, st.data())
def test_all_records_are_read_once_in_the_order_of_their_key_although_shards_change(
    before: list[tuple[str, int]], during: list[tuple[str, int]], data: st.DataObject
) -> None:
    stream = Kinesis()
    done = before + during
    for number, (change, key) in enumerate(before):
        apply(stream, change, key, number)
    waiting = list(enumerate(during, start=len(before)))

    def go_on() -> None:
        for _ in range(min(len(waiting), data.draw(st.integers(1, 3)))):
            number, (change, key) = waiting.pop(0)
            apply(stream, change, key, number)

    stream.during = go_on
    found: list[bytes] = []
    puts = sum(change == "put" for change, _ in done)
    for page in reader_of(stream).pages(None):
        found += [record.data for record in page]
        if not waiting and len(found) >= puts:
            break
        assert stream.clock() < 3_600, "records are missing"
    assert by_key(found) == by_key(read(stream)) == expected(done)


def test_a_shard_is_read_at_most_five_times_a_second() -> None:
    stream = Kinesis()
    for number in range(200):
        stream.put(0, str(number).encode())
    assert len(read(stream)) == 200
    times = [time for _, time in stream.reads]
    assert len(times) > 60
    assert min(b - a for a, b in zip(times, times[5:], strict=False)) >= 1


def test_shards_take_turns() -> None:
    stream = Kinesis()
    stream.split(KEYS[3])
    for number in range(50):
        stream.put(0, b"low:%d" % number)
        stream.put(LAST_HASH_KEY, b"high:%d" % number)
    found = read(stream)
    assert {record[:3] for record in found[:12]} == {b"low", b"hig"}
    assert len(found) == 100


def test_since_leaves_out_what_arrived_before() -> None:
    stream = Kinesis()
    for number in range(1, 5):
        stream.put(0, str(number).encode())
    stream.split(KEYS[3])
    for number in range(5, 9):
        stream.put(0, str(number).encode())
    assert read(stream, since=START + timedelta(seconds=3)) == [b"3", b"4", b"5", b"6", b"7", b"8"]
    assert read(stream, since=START + timedelta(seconds=7)) == [b"7", b"8"]


def test_without_following_it_stops_in_front_of_a_stream_that_never_rests() -> None:
    stream = Kinesis()
    numbers = iter(range(10_000))

    def put_more_than_is_read() -> None:
        for _ in range(6):
            stream.put(0, str(next(numbers)).encode())

    stream.during = put_more_than_is_read
    found = read(stream, until=START + timedelta(seconds=10))
    assert found[:10] == [str(number).encode() for number in range(10)]
    assert len(found) < 20


def test_a_shard_that_is_trimmed_while_it_is_read_ends() -> None:
    stream = Kinesis()
    stream.put(0, b"1")
    stream.split(KEYS[3])
    stream.put(0, b"2")

    def trim() -> None:
        stream.trim("shardId-0")
        stream.during = lambda: None
        stream.failures.append(client_error("ResourceNotFoundException"))

    stream.during = trim
    assert read(stream) == [b"2"]
    assert read(stream) == [b"2"], "its parent, which is not listed, is not waited for"


def test_an_expired_iterator_goes_on_after_the_last_record() -> None:
    stream = Kinesis()
    for number in range(9):
        stream.put(0, str(number).encode())
    stream.fail_only = "get_records"
    stream.failures = [client_error("ExpiredIteratorException")]
    found: list[bytes] = []
    for page in reader_of(stream).pages(FOREVER):
        found += [record.data for record in page]
        if page and len(found) == 3:
            stream.failures = [client_error("ExpiredIteratorException")]
    assert found == [str(number).encode() for number in range(9)]


every_method = pytest.mark.parametrize("method", ["list_shards", "get_shard_iterator", "get_records"])


@every_method
@pytest.mark.parametrize(
    "failure",
    [
        client_error("ProvisionedThroughputExceededException"),
        client_error("LimitExceededException"),
        client_error("InternalFailure", 500),
        EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    ],
    ids=["throttled", "limit", "server error", "no connection"],
)
def test_throttling_and_outages_are_waited_out(method: str, failure: Exception) -> None:
    stream = Kinesis()
    stream.put(0, b"1")
    stream.fail_only = method
    stream.failures = [failure] * (MAX_FAILURES - 1)
    assert read(stream) == [b"1"]
    assert 20 < stream.clock() < 120


@every_method
def test_an_answer_without_what_it_must_hold_is_asked_for_again(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Kinesis()
    stream.put(KEYS[0], b"0:0")
    empty: list[dict[str, Any]] = [{}, {}]
    good = getattr(stream, method)
    monkeypatch.setattr(stream, method, lambda **arguments: empty.pop() if empty else good(**arguments))
    assert read(stream) == [b"0:0"]
    assert empty == []


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (client_error("ResourceNotFoundException"), NotFound),
        (client_error("AccessDeniedException"), Misconfigured),
        (client_error("InternalFailure", 500), Transient),
    ],
    ids=["missing", "forbidden", "an outage that does not end"],
)
@every_method
def test_what_does_not_pass_is_an_error(method: str, failure: Exception, error: type[Exception]) -> None:
    stream = Kinesis()
    stream.fail_only = method
    stream.failures = [failure] * 100
    with pytest.raises(error):
        read(stream)
    assert (stream.clock() > 1) is (error is Transient)


def test_with_a_hash_key_only_the_shards_that_take_it_are_read() -> None:
    stream = Kinesis()
    stream.split(KEYS[3])
    stream.put(KEYS[0], b"low")
    stream.put(KEYS[5], b"high")
    reader = KinesisReader(
        stream, "export-audit", hash_key=KEYS[5], wait=stream.clock.wait, clock=stream.clock
    )
    found = [record.data for page in reader.pages(FOREVER) for record in page]
    assert found == [b"high"]
    assert {shard_id for shard_id, _ in stream.reads} == {"shardId-0", "shardId-2"}
