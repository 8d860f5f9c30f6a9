"""One task of a simulated world: the service's own parts, with a schedule in place of their threads."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.audit import AuditEntry
from handlers.timestamps import from_epoch_seconds
from processor.audit.delivery import Delivery
from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import Refusal, SinkInterrupted, SinkUnavailable
from processor.dead_letters import DeadLetterQueue
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.streams.api import StreamApi
from processor.streams.context import Surroundings
from processor.streams.discovery import LISTING_SECONDS, Discovery
from processor.streams.lease_keeper import LeaseKeeper
from processor.streams.leases.held import HeldLease, Tenure
from processor.streams.leases.table import LeaseTable
from processor.streams.rate_limiter import Pacer
from processor.streams.shard_reader import ShardReader
from processor.streams.shards import StreamState
from tests.simulated_stream.client import SimulatedStreamsClient

if TYPE_CHECKING:
    from tests.streams.world import World

TABLE = "export-status"
FAILOVER_SECONDS = 10.0
EPOCH = 1_795_000_000.0


class SimulatedQueue:
    """A dead-letter queue: keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.is_down = False

    def send_message_batch(self, **arguments: Any) -> dict[str, Any]:
        """SendMessageBatch."""
        entries = arguments["Entries"]
        if self.is_down:
            return {"Failed": [{"Id": entry["Id"], "SenderFault": False} for entry in entries]}
        self.messages += entries
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}


class RecordingSink:
    """A worker's sink, which tells the world of every entry it takes."""

    name = "recording"

    def __init__(self, world: "World", worker: "Worker") -> None:
        self._world = world
        self._worker = worker

    def put(self, entries: Sequence[AuditEntry], may_continue: Callable[[], bool]) -> Sequence[Refusal]:
        """Takes entries one by one; anything can happen between two of them."""
        refusals = []
        for entry in entries:
            self._world.interrupt(self._worker)
            if not may_continue():
                raise SinkInterrupted
            if self._world.sink_is_down:
                raise SinkUnavailable("the sink is down")
            if entry.request_id in self._world.poison:
                refusals.append(Refusal(entry, "requestId must not be poison"))
            else:
                self._world.took(self._worker, entry)
        return refusals


class Worker:
    """One task: the parts that `AuditPipeline` runs in threads, and what they are waiting for."""

    def __init__(self, world: "World", name: str, clock_is_off_by: float) -> None:
        self.world = world
        self._clock_is_off_by = clock_is_off_by
        self.name = name
        self.is_paused = False
        self.is_stopping = False
        self.client = SimulatedStreamsClient(world.table, world.faults)
        self.metrics = Metrics()
        self.health = Health(Path("unused"), warn=lambda _problem: None)
        self.readers: dict[HeldLease, ShardReader] = {}
        api = StreamApi(self.client, world.clock)
        rows = LeaseTable(world.rows, "leases")
        listings = Pacer(LISTING_SECONDS, world.clock)
        self.discovery = Discovery(
            api,
            rows,
            status_table=TABLE,
            failover_seconds=FAILOVER_SECONDS,
            listings=listings,
            metrics=self.metrics,
            health=self.health,
            found=lambda: self.keeper.wake.set(),  # noqa: PLW0108 - the keeper is made below
            clock=world.clock,
            now=self.now,
        )
        self.keeper = LeaseKeeper(
            rows,
            Tenure(name, FAILOVER_SECONDS, world.clock),
            status_table=TABLE,
            streams=lambda: self.discovery.streams,
            health=self.health,
            won=self._won,
            give_up=self._give_up,
            clock=world.clock,
            now=self.now,
        )
        queue_client: Any = world.dead_letters
        queue = DeadLetterQueue(
            queue_client,
            "https://sqs.invalid/dlq",
            lambda: from_epoch_seconds(self.now()),
            threading.Event(),
        )
        self._around = Surroundings(
            api=api,
            table=rows,
            delivery=Delivery([RecordingSink(world, self)], Quarantine(queue), self.metrics, self.health),
            metrics=self.metrics,
            health=self.health,
            failover_seconds=FAILOVER_SECONDS,
            listings=listings,
            stream_state=self._stream_state,
            expect_children=self.discovery.expect_children,
            ended=self.keeper.wake.set,
            clock=world.clock,
            now=self.now,
        )

    def now(self) -> float:
        """Unix seconds, as this worker's machine has them."""
        return self.world.now() + self._clock_is_off_by

    def due(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What this worker wants to do, and when."""
        if not self.is_stopping:
            yield self._at("discovery", self.discovery.wake), self._discover
            yield self._at("scan", self.keeper.wake), self._scan
        yield self._at("renew"), self._renew
        for lease, reader in self.readers.items():
            yield self._at(lease, reader.wake), lambda lease=lease: self._read(lease)  # type: ignore[misc]

    def degraded(self) -> dict[str, str]:
        """What the worker shows as not working."""
        return dict(self.health._degraded)

    def lease_events(self) -> list[str]:
        """What became of leases since the start, as the log tells."""
        return [line["event"] for line in self.world.logs if line["event"].startswith("lease_")]

    def stop(self, give_up_at: float) -> None:
        """SIGTERM, with the time until which sinks are waited for."""
        self.is_stopping = True
        self.keeper.stop_taking()
        self.keeper.withdraw()
        for reader in self.readers.values():
            reader.request_stop(give_up_at)

    def _at(self, part: object, wake: threading.Event | None = None) -> float:
        return self.world.clock() if wake and wake.is_set() else self._next.get(part, 0.0)

    @property
    def _next(self) -> dict[object, float]:
        return self.world.schedule[self.name]

    def _discover(self) -> None:
        self.discovery.wake.clear()
        self._next["discovery"] = self.world.clock() + self.discovery.step()

    def _scan(self) -> None:
        self.keeper.wake.clear()
        self._next["scan"] = self.world.clock() + self.keeper.scan()

    def _renew(self) -> None:
        while self.keeper.renew_next():
            pass
        self._next["renew"] = self.world.clock() + FAILOVER_SECONDS / 10

    def _read(self, lease: HeldLease) -> None:
        reader = self.readers[lease]
        reader.wake.clear()
        delay = reader.step()
        if delay is None:
            del self.readers[lease]
            self.keeper.forget(lease)
        else:
            self._next[lease] = self.world.clock() + delay

    def _won(self, lease: HeldLease) -> None:
        self.readers[lease] = ShardReader(lease, self._around)

    def _give_up(self, lease: HeldLease, to: str | None) -> None:
        if lease in self.readers:
            self.readers[lease].request_stop(self.world.clock() + FAILOVER_SECONDS, to)

    def _stream_state(self, stream_arn: str) -> StreamState | None:
        return self.discovery.streams.get(stream_arn)
