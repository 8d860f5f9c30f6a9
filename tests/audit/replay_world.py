"""A replay over a simulated stream, with a sink that can fail and a clock that the test moves."""

from collections.abc import Iterator
from datetime import UTC, datetime

from processor.audit.replay import Replay, Replayed
from processor.streams.api import StreamApi
from tests.audit.entries import Clock, Shelf
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable

START = datetime(2026, 11, 22, 10, tzinfo=UTC)


class World:
    """A table with a stream, and what a replay of it gives."""

    def __init__(self, shards: int = 1) -> None:
        self.clock = Clock(START.timestamp())
        self.table = SimulatedTable("export-status", self.clock, shards=shards)
        self.client = SimulatedStreamsClient(self.table)
        self.sink = Shelf("kept")

    def run(self, since: datetime = START, until: datetime | None = None) -> Iterator[Replayed]:
        """A replay page by page, up to now."""
        return Replay(
            StreamApi(self.client, self.clock),
            [self.sink],
            table="export-status",
            since=since,
            until=until or datetime.fromtimestamp(self.clock(), UTC),
            wait=self.clock.wait,
            clock=self.clock,
        ).pages()

    def replay(self, since: datetime = START) -> list[Replayed]:
        """A whole replay."""
        return list(self.run(since))

    def check(self, since: datetime = START) -> None:
        """Every removal since then was put, in the order of its export."""
        assert self.sink.by_export() == self.expected_ids(since)

    def expected_ids(self, since: datetime = START) -> dict[str, list[str]]:
        """The audit ids of each export's removals."""
        found: dict[str, list[str]] = {}
        for _, record in self.table.removals():
            if record["dynamodb"]["ApproximateCreationDateTime"] >= since.timestamp():
                request_id = record["dynamodb"]["Keys"]["requestId"]["S"]
                found.setdefault(request_id, []).append(record["eventID"])
        return found

    def change(self, kind: str, number: int) -> None:
        """One thing that may happen to a table."""
        shards = self.table.open_shards()
        match kind:
            case "remove":
                self.table.write(f"req-{number % 5}")
            case "insert":
                self.table.write(f"req-{number % 5}", "INSERT")
            case "split":
                self.table.split(shards[number % len(shards)].shard_id)
            case "roll":
                self.table.roll(shards[number % len(shards)].shard_id)
            case "later":
                self.clock.wait(60)
            case "new stream":
                self.table.enable_stream(2)


KINDS = ["remove", "remove", "remove", "remove", "remove", "insert", "split", "roll", "later", "new stream"]
