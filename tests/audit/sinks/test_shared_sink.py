"""One Kinesis sink under the readers of many shards: they do not wait for each other, and order holds."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from handlers.audit import AuditEntry
from processor.audit.sinks.base import SinkUnavailable
from processor.audit.sinks.kinesis import KinesisSink
from tests.audit.entries import always, entry, ids_by_export
from tests.audit.kinesis_standin import FAULTS, Kinesis
from tests.audit.sinks.test_kinesis import sink_of

DEADLINE_SECONDS = 60


def in_threads(*works: Callable[[], object]) -> None:
    """Runs them at once; fails with the first error of any."""
    with ThreadPoolExecutor(len(works)) as pool:
        for running in [pool.submit(work) for work in works]:
            running.result(DEADLINE_SECONDS)


def put_patiently(sink: KinesisSink, entries: Sequence[AuditEntry]) -> None:
    """Puts as the reader of a shard does."""
    put, pause = sink.begin(entries), threading.Event()
    while True:
        try:
            put.go_on(always)
        except SinkUnavailable as unavailable:
            pause.wait(unavailable.retry_seconds)
        else:
            return


def test_many_readers_share_a_sink_and_each_exports_entries_keep_their_order() -> None:
    kinesis = Kinesis(list(FAULTS.values()) * 4)
    sink = sink_of(kinesis, target_bytes=2_000, clock=time.monotonic)
    pages = [[entry(f"{r}-{n}", f"req-{r}-{n % 9}") for n in range(150)] for r in range(6)]
    in_threads(*[functools.partial(put_patiently, sink, entries) for entries in pages])
    assert kinesis.first_appearances() == ids_by_export([each for entries in pages for each in entries])


def test_readers_with_entries_of_the_same_bucket_do_not_wait_for_each_other() -> None:
    both = threading.Barrier(2, timeout=DEADLINE_SECONDS)
    kinesis = Kinesis()
    kinesis.during = both.wait
    sink = sink_of(kinesis, buckets=1)
    in_threads(
        lambda: put_patiently(sink, [entry("1", "req-1")]), lambda: put_patiently(sink, [entry("2", "req-2")])
    )
