"""A replay over a simulated stream, with a sink that can fail and a clock that the test moves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from handlers.audit import AuditEntry
from processor.audit.replay import Replay, Replayed
from processor.audit.sinks.base import SinkUnavailable
from processor.streams.api import StreamApi
from tests.audit.entries import OneByOne
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECONDS = 60.0


class Clock:
    """Simulated time: waiting makes it pass."""

    def __init__(self) -> None:
        self.seconds = START.timestamp()

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


class Sink:
    """Keeps entries, after a number of failures."""

    name = "kept"

    def __init__(self, failures: int = 0) -> None:
        self.entries: list[AuditEntry] = []
        self.failures = failures

    def begin(self, entries: Sequence[AuditEntry]) -> OneByOne:
        return OneByOne(entries, self.store)

    def store(self, entry: AuditEntry) -> None:
        if self.failures:
            self.failures -= 1
            raise SinkUnavailable("sink kept: is down")
        self.entries.append(entry)


class World:
    """A table with a stream, and what a replay of it gives."""

    def __init__(self, shards: int = 1) -> None:
        self.clock = Clock()
        self.table = SimulatedTable("export-status", self.clock.now, shards=shards)
        self.client = SimulatedStreamsClient(self.table)
        self.sink = Sink()

    def replay(self, since: datetime = START) -> list[Replayed]:
        run = Replay(
            StreamApi(self.client, self.clock.now),
            [self.sink],
            table="export-status",
            since=since,
            until=datetime.fromtimestamp(self.clock.now(), UTC),
            wait=self.clock.wait,
            clock=self.clock.now,
        )
        return list(run.pages())

    def put_ids(self) -> dict[str, list[str]]:
        """The audit ids of each export, in the order in which they were put."""
        found: dict[str, list[str]] = {}
        for entry in self.sink.entries:
            found.setdefault(entry.request_id, []).append(entry.audit_id)
        return found

    def expected_ids(self, since: datetime = START) -> dict[str, list[str]]:
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
