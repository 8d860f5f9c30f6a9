"""One Kinesis sink under the readers of many shards: one record in flight a bucket, and order for each."""

import functools
import threading
from collections.abc import Callable

import pytest

from processor.audit.sinks.base import SinkInterrupted, SinkUnavailable
from processor.audit.sinks.kinesis import bucket_number
from tests.audit.fake_kinesis import FAULTS, NO_FAULT, FakeKinesis, Fault, client_error, entry
from tests.audit.sinks.test_kinesis import always, in_order, page, put_until_taken, sink_of

DEADLINE_SECONDS = 10


def in_threads(*works: Callable[[], object]) -> None:
    """Runs them at once; fails with the first error of any."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def ids_of_buckets(*numbers: int) -> list[str]:
    """A request id for each bucket of 16."""
    found = {bucket_number(f"req-{n}", 16): f"req-{n}" for n in range(500)}
    return [found[number] for number in numbers]


def test_many_readers_share_a_sink_and_keep_the_order_of_each() -> None:
    kinesis = FakeKinesis(list(FAULTS.values()) * 4)  # asserts that no bucket is in flight twice
    sink = sink_of(kinesis, target_bytes=2_000)
    pages = [[entry(f"{r}-{n}", f"req-{r}-{n % 9}") for n in range(150)] for r in range(6)]
    in_threads(*[functools.partial(put_until_taken, sink, entries) for entries in pages])
    assert kinesis.first_appearances() == in_order([given for entries in pages for given in entries])


def test_a_bucket_has_one_record_in_flight_and_others_wait_for_it() -> None:
    in_call, waits = threading.Event(), threading.Semaphore(0)

    def during(_: list[str]) -> None:
        if not in_call.is_set():
            in_call.set()
            # Asked twice and more, the second reader must be waiting: a put asks once before its call.
            assert all(waits.acquire(timeout=DEADLINE_SECONDS) for _ in range(3))

    kinesis = FakeKinesis(during=during)  # asserts that no bucket is in flight twice
    sink = sink_of(kinesis)

    def asked() -> bool:
        waits.release()
        return True

    def second() -> None:
        assert in_call.wait(DEADLINE_SECONDS)
        assert sink.put([entry("2", "req-1")], asked) == []

    in_threads(lambda: sink.put([entry("1", "req-1")], always), second)
    assert kinesis.first_appearances() == {"req-1": ["1", "2"]}


def test_readers_whose_buckets_differ_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2, timeout=DEADLINE_SECONDS)
    sink = sink_of(FakeKinesis(during=lambda _: both.wait()))
    one, two = ids_of_buckets(3, 4)
    in_threads(lambda: sink.put([entry("1", one)], always), lambda: sink.put([entry("2", two)], always))


def test_a_reader_that_waits_for_a_bucket_stops_waiting_when_its_lease_goes() -> None:
    in_call, lease_gone = threading.Event(), threading.Event()

    def during(_: list[str]) -> None:
        in_call.set()
        assert lease_gone.wait(DEADLINE_SECONDS)

    kinesis = FakeKinesis(during=during)
    sink = sink_of(kinesis)

    def second() -> None:
        assert in_call.wait(DEADLINE_SECONDS)
        with pytest.raises(SinkInterrupted):
            sink.put([entry("2", "req-1")], lambda: False)
        lease_gone.set()

    in_threads(lambda: put_until_taken(sink, [entry("1", "req-1")]), second)
    assert [e.audit_id for e in kinesis.entries()] == ["1"]


def test_a_put_that_failed_leaves_its_buckets_free() -> None:
    kinesis = FakeKinesis(
        [Fault(lambda _: False, raises=lambda: client_error("AccessDeniedException")), NO_FAULT]
    )
    sink = sink_of(kinesis)
    with pytest.raises(SinkUnavailable):
        sink.put(page(10), always)
    assert sink.put(page(10), always) == []
