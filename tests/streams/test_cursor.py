"""A cursor reads on from where it is, whatever happens to its iterator."""

import pytest

from processor.aws.errors import NotFound, Transient, Trimmed
from processor.streams.api import StreamApi
from processor.streams.cursor import Cursor
from processor.streams.leases.lease import Position
from processor.streams.shards import ShardName
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable

HOUR = 3_600.0


class Bench:
    """A cursor over a simulated shard whose pages hold two records."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0
        self.table = SimulatedTable("export-status", lambda: self.now)
        self.client = SimulatedStreamsClient(self.table)
        self.client.faults.max_records = 2
        (shard,) = self.table.open_shards()
        self.shard = ShardName(self.table.current.arn, shard.shard_id)
        self.cursor = Cursor(StreamApi(self.client), self.shard)

    def write(self, *keys: str) -> None:
        """Exports leave the table."""
        for key in keys:
            self.table.write(key)

    def read(self) -> list[str]:
        """Reads a page, moves past it, and returns the keys of its records."""
        page = self.cursor.read()
        if page is None:
            return ["iterator expired"]
        self.cursor.move_past(page)
        return [record["dynamodb"]["Keys"]["requestId"]["S"] for record in page.records]


@pytest.fixture
def bench() -> Bench:
    """A shard with three removals."""
    made = Bench()
    made.write("a", "b", "c")
    return made


def test_it_reads_page_by_page_to_the_end_of_the_shard(bench: Bench) -> None:
    bench.table.roll(bench.shard.shard_id)
    seen = [(bench.cursor.from_oldest, bench.read(), bench.cursor.ended) for _ in range(2)]
    assert seen == [(True, ["a", "b"], False), (False, ["c"], True)]


def test_an_iterator_that_expired_is_made_again_behind_the_last_page(bench: Bench) -> None:
    bench.read()
    bench.client.expire_iterators()
    assert [bench.read(), bench.read()] == [["iterator expired"], ["c"]]


def test_after_a_transient_error_the_same_iterator_serves_and_after_another_one_a_new_one(
    bench: Bench,
) -> None:
    bench.read()
    for code, error, made in (
        ("InternalServerError", Transient, 0),
        ("ResourceNotFoundException", NotFound, 1),
    ):
        before = bench.client.calls["GetShardIterator"]
        bench.client.fail(code, operation="GetRecords")
        with pytest.raises(error):
            bench.read()
        bench.write("d")
        assert len(bench.read()) > 0
        assert bench.client.calls["GetShardIterator"] - before == made


def test_a_trimmed_position_begins_again_at_the_oldest_record_left(bench: Bench) -> None:
    bench.read()
    bench.now += 25 * HOUR
    bench.write("d")
    bench.table.trim_expired()
    assert bench.read() == ["iterator expired"]
    with pytest.raises(Trimmed):
        bench.read()
    assert bench.cursor.position == Position()
    assert bench.read() == ["d"]
