"""Several workers of the audit pipeline in one thread and simulated time, with every law checked as they go.

A worker is the service's own consumer; only the threads are replaced: the world runs each step when it is
due. A worker can be paused or killed at any moment, also in the middle of a
put or of a write to the leases table.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from handlers.audit import AuditEntry
from handlers.timestamps import from_epoch_seconds
from processor.audit.sinks.base import Sink
from processor.observability.metrics import Metrics
from processor.streams.leases.lease import Lease, from_attributes, lease_key
from processor.streams.page_budget import DEFAULT_BYTES
from processor.streams.progress import is_followed_for_long
from processor.streams.shard_reader import Phase, ShardReader
from tests.audit.entries import LetterBox
from tests.docs.markdown import fenced, read
from tests.simulated_stream.client import Faults
from tests.simulated_stream.model import SimulatedShard, SimulatedTable, number_of
from tests.simulated_stream.rows import SimulatedRows
from tests.streams.worker import EPOCH, FAILOVER_SECONDS, TABLE, Worker

DIAGRAM = fenced(read("docs/architecture.md"), "(`Phase` in `streams/shard_reader.py`)")
MOVES = [(Phase(before), Phase(after)) for before, after in re.findall(r"(\w+) --> (\w+):", DIAGRAM)]
"""The moves that the phases of a shard reader may make."""


class Killed(BaseException):
    """SIGKILL in the middle of whatever a worker does."""


class World:
    """The stream, the leases table, the workers, the clock, and what the outside has seen."""

    def __init__(self, *, shards: int = 1) -> None:
        self.time = 0.0
        self.page_bytes = DEFAULT_BYTES
        self.has_quarantine = True
        self.faults = Faults()
        self.table = SimulatedTable(TABLE, self.now, shards=shards)
        self.rows = SimulatedRows()
        self.rows.after_write = self._check_write
        self.dead_letters = LetterBox()
        self.workers: dict[str, Worker] = {}
        self.sink: Sink | None = None
        """What workers use in place of the recording sink."""
        self.sink_is_down = False
        self.cut_off: set[str] = set()
        """Names of workers that have no way to the sink."""
        self.blocked_shards: set[str] = set()
        """Shards of which the sink takes nothing."""
        self.poison: set[str] = set()
        self.emitted: list[AuditEntry] = []
        """Every entry that a sink took, repeats included, in order."""
        self.gaps: list[dict[str, Any]] = []
        self.logs: list[Any] = []
        self.on_interrupt: Callable[[], object] | None = None
        self.on_lease_write: Callable[[], None] | None = None
        self.gap_limits: list[int] = []
        """For each gap, the youngest number at the time it was told: it says nothing of later ones."""
        self.moves: set[tuple[Phase, Phase]] = set()
        """The phases that readers went through."""
        self._taken: set[str] = set()
        self._ever_rows: set[str] = set()
        self._never_missed: set[str] = set()
        self._names = itertools.count(1)

    def clock(self) -> float:
        """Monotonic seconds, the same for every worker."""
        return self.time

    def now(self) -> float:
        """Unix seconds."""
        return EPOCH + self.time

    # What happens to the workers.

    def start_worker(
        self, *, clock_is_off_by: float = 0.0, failover_seconds: float = FAILOVER_SECONDS
    ) -> Worker:
        """A new task, its name never used before, its wall clock wrong by so many seconds."""
        name = f"worker-{next(self._names)}"
        worker = self.workers[name] = Worker(self, name, clock_is_off_by, failover_seconds)
        return worker

    def kill(self, worker: Worker) -> None:
        """SIGKILL: nothing of it happens any more."""
        del self.workers[worker.name]

    def stop(self, worker: Worker, *, seconds: float = 25.0) -> None:
        """SIGTERM, and the time until the worker has ended; others go on meanwhile."""
        end = self.time + seconds
        worker.stop(end)
        self.run(seconds, until=lambda: worker.has_ended)
        assert worker.has_ended, "the worker must be done within its budget"
        assert worker.consumer.join().clean, "every lease is released"
        self.kill(worker)

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Lets so much time pass, or as much as it takes; returns whether the condition came true."""
        end = self.time + seconds
        while not until():
            due = [
                (at, index, worker, action)
                for index, worker in enumerate(self.workers.values())
                if not worker.is_paused
                for at, action in worker.due()
            ]
            at, _, worker, action = min(due, key=lambda each: each[:2], default=(end, 0, None, None))
            if worker is None or action is None or at >= end:
                self.time = max(self.time, end)
                return until()
            self.time = max(self.time, at) + 0.001  # a step takes a millisecond
            before = {reader: reader.phase for reader in worker.consumer.readers}
            try:
                action()
            except Killed:
                self.kill(worker)
            self._note_moves(before)
        return True

    def _note_moves(self, before: dict[ShardReader, Phase]) -> None:
        for reader, phase in before.items():
            if reader.phase is not phase:
                move = phase, reader.phase
                assert move in MOVES, f"no reader goes from {phase} to {reader.phase}"
                self.moves.add(move)

    def trim(self) -> None:
        """The stream forgets what is older than a day; before any row exists, nobody misses it."""
        before = {record["eventID"] for _, record in self._kept()}
        self.table.trim_expired()
        if not self.rows.rows:
            self._never_missed |= before - {record["eventID"] for _, record in self._kept()}

    def lose_shard(self, shard_id: str) -> None:
        """A shard leaves its stream for good, as AWS's do a day after their end.

        One that leaves minutes after the table was first followed, and was not read before, held only
        records from before that: no worker misses them.
        """
        lease = self.leases()[shard_id]
        if lease.position.sequence_number is None and not is_followed_for_long(lease, self.now()):
            shard = self._find(lease.stream_arn, shard_id)
            self._never_missed |= {record["eventID"] for record in shard.records}
        self.table.drop_shard(shard_id)

    def _kept(self) -> Iterator[tuple[SimulatedShard, dict[str, Any]]]:
        for stream in self.table.streams.values():
            for shard in stream.shards.values():
                for record in shard.records:
                    yield shard, record

    @contextmanager
    def paused(self, worker: Worker) -> Iterator[None]:
        """The worker's process stands still meanwhile."""
        before, worker.is_paused = worker.is_paused, True
        try:
            yield
        finally:
            worker.is_paused = before

    def interrupt(self, worker: Worker) -> None:
        """Called in the middle of a worker's put: lets happen what was planned for such a moment, once."""
        action, self.on_interrupt = self.on_interrupt, None
        if action is not None:
            with self.paused(worker):
                action()

    # What the laws say.

    def took(self, worker: Worker, entry: AuditEntry) -> None:
        """A sink takes an entry: docs/invariants.md, laws 5 and 7."""
        key = lease_key(entry.source.stream_arn, entry.source.shard_id or "")
        row = self.rows.rows.get(key)
        owner = row.get("leaseOwner", {}).get("S") if row else None
        # A row that an operator has removed says nothing; one that is given up or finished says no.
        assert row is None or owner == worker.name, f"{worker.name} puts an entry of {owner}'s shard"
        shard = self._find(entry.source.stream_arn, entry.source.shard_id or "")
        parent = shard.parent_id and self._find(entry.source.stream_arn, shard.parent_id)
        parent_row = self.leases().get(parent.shard_id) if parent else None
        is_passed = parent_row is not None and parent_row.passed
        if parent and entry.audit_id not in self._taken and not is_passed:
            missing = self.unaccounted(parent)
            assert not missing, "a child's entry is put before its parent's last ones"
        self.emitted.append(entry)
        self._taken.add(entry.audit_id)

    def _check_write(self, key: str, before: Any, after: Any) -> None:
        """A write to the leases table: docs/invariants.md, laws 4 and 6."""
        if after is None:
            assert before["checkpoint"]["S"] == "SHARD_END", "only a finished row may be removed"
        else:
            try:
                lease = from_attributes(after)
            except ValueError:
                return  # a test has broken the row: there is no checkpoint to judge
            assert lease is not None
            self._ever_rows.add(lease.shard_id)
            shard = self._find(lease.stream_arn, lease.shard_id)
            if lease.finished:
                assert shard.closed_at is not None, "an open shard has no end"
            limit = None if lease.finished else int(lease.position.sequence_number or 0)
            missing = self.unaccounted(shard, limit)
            assert not missing, f"the checkpoint passes {missing[0]['eventID']}, which nothing has taken"
        action, self.on_lease_write = self.on_lease_write, None
        if action is not None:
            action()

    def unaccounted(self, shard: SimulatedShard, limit: int | None = None) -> list[dict[str, Any]]:
        """A shard's REMOVE records, up to a number, that were neither taken, set aside, nor told as lost."""
        aside = {letter.source_message_id for letter in self.dead_letters.letters}
        return [
            record
            for record in shard.written
            if record["eventName"] == "REMOVE"
            and (limit is None or number_of(record) <= limit)
            and record["eventID"] not in self._taken
            and record["eventID"] not in self._never_missed
            and record["eventID"] not in aside
            and not self._is_told(shard, number_of(record))
        ]

    def _is_told(self, shard: SimulatedShard, number: int) -> bool:
        """Whether an `audit_gap` covers a record: of its shard or, where that was never found, of one whose
        children were lost with it or that was found only after its parents were gone."""
        is_there = shard.shard_id not in self.faults.unreadable and any(
            shard.shard_id in stream.shards for stream in self.table.streams.values()
        )
        if is_there and number in {number_of(record) for record in shard.records}:
            return False  # it can still be read
        relatives = set() if shard.shard_id in self._ever_rows else self._relatives(shard)
        for gap, limit in zip(self.gaps, self.gap_limits, strict=True):
            if number > limit:
                continue
            last = int(gap["last_sequence_number"] or 0)
            first = gap["first_sequence_number"]
            if gap["shard_id"] == shard.shard_id and last < number and (first is None or number < int(first)):
                return True
            is_open = first is None or gap["reason"] == "unread_past_retention"
            if gap["shard_id"] in relatives and is_open:
                return True
        return False

    def _relatives(self, shard: SimulatedShard) -> set[str]:
        """Ancestors and descendants; a stream's shards descend from those of the stream before."""
        streams = {**self.table.lost_streams, **self.table.streams}
        parents: dict[str, set[str]] = {}
        before: set[str] = set()
        for arn in sorted(streams):
            ids = {each.shard_id for each in streams[arn].all_shards()}
            for each in streams[arn].all_shards():
                parents[each.shard_id] = {each.parent_id} if each.parent_id else before
            before = before | ids

        def ancestors(shard_id: str) -> set[str]:
            found: set[str] = set()
            left = [shard_id]
            while left:
                new = parents[left.pop()] - found
                found |= new
                left += new
            return found

        descendants = {each for each in parents if shard.shard_id in ancestors(each)}
        return ancestors(shard.shard_id) | descendants

    def check_order(self) -> None:
        """First appearances of one export's entries are in the order in which they were written."""
        numbers = {record["eventID"]: number_of(record) for _, record in self.table.removals()}
        newest: dict[str, int] = {}
        seen: set[str] = set()
        for entry in self.emitted:
            if entry.audit_id in seen:
                continue
            seen.add(entry.audit_id)
            number = numbers[entry.audit_id]
            assert newest.get(entry.request_id, 0) < number, "an export's entries come out of order"
            newest[entry.request_id] = number

    def check_rate(self) -> None:
        """No worker reads a shard more than four times a second."""
        for worker in self.workers.values():
            for times in worker.client.reads.values():
                for first, fifth in zip(times, times[4:], strict=False):
                    assert fifth - first >= 0.99, "a shard is read more than four times a second"

    def missing(self) -> list[dict[str, Any]]:
        """Every REMOVE record that is not accounted for."""
        streams = [*self.table.lost_streams.values(), *self.table.streams.values()]
        return [
            record
            for stream in streams
            for shard in stream.all_shards()
            for record in self.unaccounted(shard)
        ]

    def leases(self) -> dict[str, Lease]:
        """The rows by shard id."""
        found = [from_attributes(row) for row in self.rows.rows.values()]
        return {lease.shard_id: lease for lease in found if lease is not None}

    def owners(self) -> dict[str, int]:
        """How many unfinished leases each worker holds."""
        counts = dict.fromkeys(self.workers, 0)
        for lease in self.leases().values():
            if lease.owner is not None and not lease.finished:
                counts[lease.owner] = counts.get(lease.owner, 0) + 1
        return counts

    def repeats(self) -> list[str]:
        """The ids of entries that were taken more than once, once for each repeat."""
        counts = Counter(entry.audit_id for entry in self.emitted)
        return list((counts - Counter(counts.keys())).elements())

    def _find(self, stream_arn: str, shard_id: str) -> SimulatedShard:
        stream = self.table.streams.get(stream_arn) or self.table.lost_streams[stream_arn]
        return stream.shards.get(shard_id) or stream.dropped[shard_id]


@contextmanager
def watched(world: World) -> Iterator[World]:
    """Collects what the workers log, the gaps apart."""

    def keep(_logger: object, method: str, event: Any) -> Any:
        world.logs.append({**event, "level": method})
        if event["event"] == "audit_gap":
            world.gaps.append(dict(event))
            world.gap_limits.append(world.table.last_number)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.BoundLogger)
    try:
        yield world
    finally:
        structlog.configure(**before)


def values_of(metrics: Metrics) -> dict[str, Any]:
    """What the next metrics line would say."""
    line: dict[str, Any] = json.loads(metrics.flush(from_epoch_seconds(EPOCH)))
    return line
