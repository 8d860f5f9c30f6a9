"""Whatever happens to streams, tasks, sinks and the leases table: no record is lost without a word."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.streams.worker import FAILOVER_SECONDS, Worker
from tests.streams.world import Killed, World, watched

KEYS = st.sampled_from(["a", "b", "c", "d", "e", "poison"])
SECONDS = st.floats(0.05, 25.0)  # a lease that is not renewed is another's after 10 and a scan
MAX_WORKERS = 4
OTHER_HISTORIES = int(os.environ.get("OTHER_HISTORIES", "0"))
"""So many histories with other seeds instead of the fixed set, for a long look."""

pytestmark = pytest.mark.slow


class AuditMachine(RuleBasedStateMachine):
    """Several workers over a stream that does everything that streams do."""

    @initialize(shards=st.integers(1, 3))
    def begin(self, shards: int) -> None:
        self.world = World(shards=shards)
        self.world.poison.add("poison")
        self._watching = watched(self.world)
        self._watching.__enter__()
        self.world.start_worker()
        self._vanished: set[str] = set()

    @rule(keys=st.lists(KEYS, min_size=1, max_size=12), rest=st.booleans(), seconds=st.floats(0.0, 6.0))
    def exports_expire(self, keys: list[str], rest: bool, seconds: float) -> None:
        for key in keys:
            if rest:
                self.world.table.write(key, "MODIFY")
            self.world.table.write(key)
        self.world.run(seconds)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    # Shards

    @rule(place=st.integers(0, 20))
    def a_shard_splits(self, place: int) -> None:
        shards = self.world.table.open_shards()
        if len(shards) < 6:
            self.world.table.split(shards[place % len(shards)].shard_id)

    @rule(place=st.integers(0, 20))
    def a_shard_rolls_over(self, place: int) -> None:
        shards = self.world.table.open_shards()
        self.world.table.roll(shards[place % len(shards)].shard_id)

    @rule()
    def a_new_stream_replaces_the_old(self) -> None:
        if len(self.world.table.streams) < 3:
            self.world.table.enable_stream(2)

    @precondition(lambda self: self._listed_with_rows())
    @rule(place=st.integers(0, 20), seconds=st.floats(0.5, 9.0))
    def a_shard_vanishes_and_returns(self, place: int, seconds: float) -> None:
        shards = self._listed_with_rows()
        shard_id = shards[place % len(shards)]
        # Once each: two listings that lack a shard, a failover time apart, are enough to close it.
        self._vanished.add(shard_id)
        self.world.on_interrupt = self.world.on_lease_write = None
        self.world.table.drop_shard(shard_id)
        self.world.run(seconds)
        self.world.table.restore_shard(shard_id)

    @precondition(lambda self: self._listed_with_rows(closed=True))
    @rule(place=st.integers(0, 20))
    def a_closed_shard_vanishes_for_good(self, place: int) -> None:
        shards = self._listed_with_rows(closed=True)
        self.world.lose_shard(shards[place % len(shards)])

    @rule(seconds=st.floats(0.5, 40.0))
    def the_stream_is_missing_for_a_while(self, seconds: float) -> None:
        arn = self.world.table.current.arn
        self.world.on_interrupt = None
        self.world.table.lose_stream(arn)
        self.world.run(seconds)
        self.world.table.restore_stream(arn)

    @precondition(lambda self: self._old_streams_with_rows())
    @rule()
    def an_old_stream_is_lost(self) -> None:
        self.world.table.lose_stream(self._old_streams_with_rows()[0])

    @rule(
        hours=st.sampled_from([2.0, 23.0, 25.0, 40.0]),
        why=st.sampled_from(["suspended", "no access", "no leases table"]),
        keys=st.lists(KEYS, min_size=1, max_size=4),
        fresh=st.booleans(),
    )
    def hours_pass_in_which_no_live_task_reads(
        self, *, hours: float, why: str, keys: list[str], fresh: bool
    ) -> None:
        world = self.world
        if fresh:  # shards that are read to their tip and hold nothing yet
            for shard in world.table.open_shards():
                world.table.roll(shard.shard_id)
            world.run(10.0)
        if why == "no access":
            world.faults.errors.extend([("GetRecords", "AccessDeniedException")] * 10_000)
            world.run(2.0)
        if why == "no leases table":
            world.rows.lost_requests = 10_000
            world.run(FAILOVER_SECONDS + 5.0)
        self.exports_expire(keys, rest=False, seconds=0.0)
        world.time += hours * 3_600
        world.trim()
        if why == "no access":
            world.faults.errors.clear()
        world.rows.lost_requests = 0

    @rule(hours=st.floats(1, 40))
    def nobody_runs_for_hours(self, hours: float) -> None:
        self.world.workers.clear()
        self.world.time += hours * 3_600
        self.world.trim()
        self.world.start_worker()

    # Tasks

    @precondition(lambda self: len(self.world.workers) < MAX_WORKERS)
    @rule()
    def a_task_starts(self) -> None:
        self.world.start_worker()

    @precondition(lambda self: self.world.workers)
    @rule(place=st.integers(0, 20))
    def a_task_is_killed(self, place: int) -> None:
        self.world.kill(self._worker(place))

    @precondition(lambda self: self.world.workers)
    @rule(place=st.integers(0, 20))
    def a_task_is_stopped(self, place: int) -> None:
        worker = self._worker(place)
        worker.is_paused = False
        try:
            worker.stop(self.world.time + 25.0)
        except Killed:
            self.world.kill(worker)
            return
        self.world.run(25.0, until=lambda: worker.has_ended)
        if worker.name in self.world.workers:  # else it was killed meanwhile
            self.world.kill(worker)

    @precondition(lambda self: self.world.workers)
    @rule(place=st.integers(0, 20))
    def a_task_stands_still_or_goes_on(self, place: int) -> None:
        worker = self._worker(place)
        worker.is_paused = not worker.is_paused

    @rule(seconds=SECONDS, is_killed=st.booleans())
    def a_task_will_stand_still_or_be_killed_inside_a_put(self, seconds: float, is_killed: bool) -> None:
        self.world.on_interrupt = _kill if is_killed else lambda: self.world.run(seconds)

    @rule(seconds=SECONDS, is_killed=st.booleans())
    def a_task_will_stand_still_or_be_killed_inside_a_lease_write(
        self, seconds: float, is_killed: bool
    ) -> None:
        def stand_still() -> None:
            # Which worker writes is not known here: time passes for all of them, and nobody acts.
            self.world.time += seconds

        self.world.on_lease_write = _kill if is_killed else stand_still

    # Faults

    @rule(number=st.integers(1, 3))
    def answers_of_the_leases_table_get_lost(self, number: int) -> None:
        self.world.rows.lost_answers = number

    @rule(number=st.integers(1, 12))
    def the_leases_table_does_not_answer(self, number: int) -> None:
        self.world.rows.lost_requests = number

    @rule(
        code=st.sampled_from(
            ["ThrottlingException", "LimitExceededException", "InternalServerError", "AccessDeniedException"]
        ),
        number=st.integers(1, 6),
    )
    def the_streams_api_fails(self, code: str, number: int) -> None:
        self.world.faults.errors.extend([(None, code)] * number)

    @rule()
    def iterators_expire(self) -> None:
        for worker in self.world.workers.values():
            worker.client.expire_iterators()

    @rule(keys=st.lists(KEYS, max_size=6), seconds=SECONDS, recovers=st.sampled_from([True, True, False]))
    def the_sink_fails_while_exports_expire(self, keys: list[str], seconds: float, recovers: bool) -> None:
        self.world.sink_is_down = True
        self.exports_expire(keys, rest=False, seconds=seconds)
        self.world.sink_is_down = not recovers

    @rule(down=st.booleans())
    def the_dead_letter_queue_fails_or_recovers(self, down: bool) -> None:
        self.world.dead_letters.is_down = down

    @rule(
        shown=st.fixed_dictionaries(
            {
                "hidden_ends": st.booleans(),
                "child_delay_seconds": st.sampled_from([0.0, 0.0, 5.0, 40.0]),
                "describe_page": st.integers(1, 5),
                "ignores_filter": st.booleans(),
                "repeats_cursor": st.sampled_from([False, False, True]),
                "end_apart": st.booleans(),
                "null_iterator": st.booleans(),
            }
        )
    )
    def the_api_shows_things_otherwise(self, shown: dict[str, Any]) -> None:
        for name, value in shown.items():
            setattr(self.world.faults, name, value)

    @rule(most=st.integers(1, 5), empty=st.integers(0, 5))
    def pages_are_small(self, most: int, empty: int) -> None:
        self.world.faults.max_records = most
        self.world.faults.empty_pages = empty

    # What must hold

    @invariant()
    def order_is_kept(self) -> None:
        self.world.check_order()
        self.world.check_rate()

    @invariant()
    def a_lease_is_trusted_by_one_task(self) -> None:
        trusted = [
            lease.row.key
            for worker in self.world.workers.values()
            for lease in worker.readers
            if lease.trusted()
        ]
        assert len(trusted) == len(set(trusted)), "two tasks trust one lease"

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._settle()
        finally:
            self._watching.__exit__(None, None, None)

    def _settle(self) -> None:
        """Everything is well again: what is left to do gets done."""
        world, faults = self.world, self.world.faults
        faults.errors.clear()
        faults.child_delay_seconds = 0.0
        faults.repeats_cursor = False
        world.on_interrupt = world.on_lease_write = None
        world.rows.lost_answers = world.rows.lost_requests = 0
        world.sink_is_down = world.dead_letters.is_down = False
        if not world.workers:
            world.start_worker()
        for worker in world.workers.values():
            worker.is_paused = False
        for _ in range(180):  # a line of shards that are gone takes a minute or two for each
            if self._is_settled():
                break
            world.run(10.0)
        assert not world.missing(), f"never taken: {[each['eventID'] for each in world.missing()]}"
        assert self._is_settled(), "every closed shard is read to its end"
        world.check_order()

    def _is_settled(self) -> bool:
        world, leases = self.world, self.world.leases()
        closed = [
            shard.shard_id
            for stream in world.table.streams.values()
            for shard in stream.shards.values()
            if shard.closed_at is not None
        ]
        return not world.missing() and all(key in leases and leases[key].finished for key in closed)

    def _listed_with_rows(self, *, closed: bool = False) -> list[str]:
        """Shards that some task has found, that are not read to their end, and that have not vanished yet."""
        return [
            shard.shard_id
            for stream in self.world.table.streams.values()
            for shard in stream.shards.values()
            if shard.shard_id in self.world.leases()
            and shard.shard_id not in self._vanished
            and not self.world.leases()[shard.shard_id].finished
            and (shard.closed_at is not None or not closed)
        ]

    def _old_streams_with_rows(self) -> list[str]:
        """Earlier streams all of whose shards some task has found."""
        table, rows = self.world.table, self.world.leases()
        return [
            stream.arn
            for stream in table.streams.values()
            if stream is not table.current and all(shard.shard_id in rows for shard in stream.all_shards())
        ]

    def _worker(self, place: int) -> Worker:
        workers = list(self.world.workers.values())
        return workers[place % len(workers)]


def _kill() -> None:
    raise Killed


TestNoLoss = AuditMachine.TestCase
TestNoLoss.settings = settings(
    max_examples=OTHER_HISTORIES or 250,
    stateful_step_count=40,
    deadline=None,
    derandomize=not OTHER_HISTORIES,  # the same histories while the same modules are loaded
    database=None,
    # A failure is reported at once, with its blob; a long look also finds a shorter history.
    phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if OTHER_HISTORIES else [])],
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
