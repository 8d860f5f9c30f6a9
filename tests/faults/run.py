"""Runs one schedule from the first message to the last audit entry, and compares."""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.faults.backends import Backends
from tests.faults.checker import Delivered, Item, Observed, Report, check
from tests.faults.expected import DeletedByHand, Sent
from tests.faults.fault_plan import Fault, FaultPlan
from tests.faults.fleet import Fleet
from tests.faults.schedule import (
    EARLIEST_END_SECONDS,
    LATE_AFTER_SECONDS,
    Action,
    Move,
    Once,
    Schedule,
)
from tests.faults.traffic import LATE_WITHIN_SECONDS, TTL_SECONDS, Message, traffic
from tests.faults.world import Reaper, World

SINKS = ("kinesis", "log")
TICK_SECONDS = 0.2
PATIENCE_SECONDS = 120.0
"""How long a move waits for what it needs; then it comes without."""

SQS_MAX_BATCH = 10
MORE_TIME = (1, 2, 4)
"""How much longer the exports live, attempt by attempt, where a machine is too slow."""


class TooSlow(Exception):
    """The machine did not settle the messages before their exports' end: the run proves nothing."""


def run(
    schedule: Schedule,
    emulators: Callable[[], AbstractContextManager[Backends]],
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Runs a schedule; on a machine that is too slow again, with exports that live longer.

    Args:
        schedule: what happens.
        emulators: give those of one attempt, which others may share.
        say: called with each phase.

    Raises:
        TooSlow: if the messages of no attempt were settled in time.
    """
    for factor in MORE_TIME:
        try:
            with emulators() as at:
                return _run_once(schedule.with_more_time(factor), at, say)
        except TooSlow as slow:
            say(f"too slow: {slow}")
            too_slow = slow
    raise too_slow


def _run_once(schedule: Schedule, at: Backends, say: Callable[[str], None]) -> Report:
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as home,
        World(at, shards=schedule.shards, visibility_seconds=schedule.size.visibility_seconds) as world,
    ):
        tasks = fleet(schedule, world, Path(home))
        try:
            tasks.start()
            course = Course(schedule, world, tasks, say)
            course.run()
            tasks.stop()
            report = course.report()
            report.wrong += ended_wrongly(tasks, world)
        finally:
            tasks.kill()
        seconds, seen = time.monotonic() - began, world.proxy.seen
        say(f"{seconds:.0f} s, {seen.total()} calls, {world.proxy.faults} faults, {tasks.started} tasks")
    return report


def fleet(
    schedule: Schedule, world: World, home: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Fleet:
    """The tasks of a schedule, not started.

    Args:
        schedule: says how many there are, and how they are set.
        world: where they work.
        home: an empty folder.
        settings: more of them.
    """
    law = schedule.broken_law
    return Fleet(
        size=schedule.tasks,
        command=["processor", "run"] if law is None else ["tests.faults.broken_service", law],
        environment=world.environment()
        | {
            "EXPORT_RECEIVERS": str(schedule.receivers),
            "EXPORT_WRITE_MODE": schedule.write_mode,
            "EXPORT_FAST_CALLS": schedule.fast_calls,
            "EXPORT_LEASE_FAILOVER_SECONDS": str(schedule.failover_seconds),
        }
        | dict(settings),
        home=home,
        seed=schedule.seed,
    )


def ended_wrongly(tasks: Fleet, world: World) -> list[str]:
    """What is wrong with the ends of tasks that were stopped, each thing as a sentence."""
    return tasks.problems + [
        f"the lease {key} was not released by {owner}"
        for key, owner in world.lease_owners().items()
        if tasks.should_have_released(key, owner)
    ]


class Course:
    """A schedule's traffic and moves, from the first message to the last audit entry.

    Args:
        schedule: what happens.
        world: where. The courses of several seeds may follow one another in it.
        tasks: they run already.
        say: called with each phase.
    """

    def __init__(self, schedule: Schedule, world: World, tasks: Fleet, say: Callable[[str], None]) -> None:
        self._schedule = schedule
        self._world = world
        self._fleet = tasks
        self._say = say
        self._sent: list[Sent] = []
        self._deletions: list[DeletedByHand] = []
        self._audit: list[Delivered] = []
        self._items: dict[tuple[str, int], Item] = {}
        self._notes: list[str] = []

    def run(self) -> None:
        """Sends, waits for the exports' end, and returns when all of them are audited."""
        schedule, size = self._schedule, self._schedule.size
        self._world.proxy.set_plan(schedule.plan)
        begins = time.time()
        self._ends = begins + size.lead_seconds
        planned = traffic(
            seed=schedule.seed,
            exports=size.exports,
            messages=size.messages,
            seconds=size.sending_seconds,
            begins=datetime.fromtimestamp(begins, UTC),
            ends=datetime.fromtimestamp(self._ends, UTC),
        )
        self._say("sending")
        self._go_on(schedule.while_sending, size.sending_seconds, planned.timely)
        self._settle("the messages")
        items = self._world.items()
        self._items |= {(key, 0): item for key, item in items.items()}
        self._retell(planned.retold)
        self._say("waiting for the exports' end")
        self._go_on((), self._ends + LATE_AFTER_SECONDS - time.time())
        self._end(planned.late)

    def _retell(self, retold: Mapping[str, Message]) -> None:
        """An operator deletes items, and producers report their exports again."""
        self._world.delete(list(retold))
        self._deletions += [DeletedByHand(request_id, time.time()) for request_id in retold]
        self._go_on((), 1, retold.values())
        self._settle("the repeated reports")
        for key, item in self._world.items().items():
            if key in retold:
                self._items[key, 1] = item
            elif self._items.get((key, 0)) != item:
                self._notes.append(f"the item {key} changed although nothing was sent")

    def _end(self, late: Sequence[Message]) -> None:
        """The exports expire, are reported too late, are deleted and audited."""
        self._say("the exports end")
        wanted = len(self._items)
        self._world.proxy.set_plan(self._schedule.ending_plan)
        with Reaper(self._world, late_seconds=self._schedule.reaped_after_seconds):
            self._go_on(self._schedule.while_ending, LATE_WITHIN_SECONDS, late)
            deadline = time.time() + self._schedule.audited_within_seconds
            while not (self._has_audited(wanted) and self._world.messages_in_queue() == 0):
                if time.time() > deadline:
                    self._notes.append("not everything had ended in time")
                    break
                self._go_on((), 1)

    def _has_audited(self, wanted: int) -> bool:
        self._collect()
        found = {sink: {each.entry["auditId"] for each in self._audit if each.sink == sink} for sink in SINKS}
        return all(len(entries) >= wanted for entries in found.values())

    def _settle(self, what: str) -> None:
        """Returns when the queue is empty: every message had its effect."""
        self._say(f"settling {what}")
        while True:
            left = self._world.messages_in_queue()
            # Also when nothing is left: what was settled too late may have found its export gone.
            if time.time() > self._ends - EARLIEST_END_SECONDS:
                starts = "".join(f"\n  did not start: {each}" for each in self._fleet.failed_starts)
                raise TooSlow(f"{what} were not settled when the exports ended, {left} are left{starts}")
            if not left:
                return
            self._go_on((), 2 * TICK_SECONDS)

    def _go_on(self, actions: Iterable[Action], seconds: float, messages: Iterable[Message] = ()) -> None:
        """Sends messages, carries out moves, keeps up the fleet: for these seconds and until all is done."""
        begin, pause = time.time(), threading.Event()
        left = deque(actions)
        with ThreadPoolExecutor(1, thread_name_prefix="producers") as producers:
            sending = producers.submit(self._send, messages)
            while left or not sending.done() or time.time() < begin + seconds:
                while left and self._is_due(left[0], begin):
                    self._do(left.popleft().move)
                self._fleet.tend()
                pause.wait(TICK_SECONDS)
            sending.result()

    def _send(self, messages: Iterable[Message]) -> None:
        begin, pause = time.time(), threading.Event()
        left = deque(messages)
        while left:
            pause.wait(max(0.0, begin + left[0].after_seconds - time.time()))
            due = [left.popleft()]
            while left and len(due) < SQS_MAX_BATCH and begin + left[0].after_seconds <= time.time():
                due.append(left.popleft())
            entries: Any = [{"Id": str(number), "MessageBody": each.body} for number, each in enumerate(due)]
            at = time.time()
            answer = self._world.sqs.send_message_batch(QueueUrl=self._world.queue_url, Entries=entries)
            ids = {int(each["Id"]): each["MessageId"] for each in answer["Successful"]}
            self._sent += [Sent(ids[number], at, each.body, each.event) for number, each in enumerate(due)]

    def _is_due(self, action: Action, begin: float) -> bool:
        late = time.time() - begin - action.at
        if late < 0 or late > PATIENCE_SECONDS:
            return late > 0
        match action.once:
            case Once.NOTHING:
                return True
            case Once.SINK_FAILED:
                return self._world.proxy.seen["Kinesis.PutRecords", Fault.ERROR] > 0
            case Once.AUDITED:
                return self._has_audited(len(self._items) - len(self._deletions))

    def _do(self, move: Move) -> None:
        match move:
            case Move.HEAL:
                self._world.proxy.set_plan(FaultPlan())
            case Move.RESHARD:
                self._world.front.reshard(self._schedule.seed)
            case Move.ROLL_ALL:
                self._world.front.roll_all()
            case _:
                self._fleet.do(move, pause_seconds=self._schedule.pause_seconds)

    def _collect(self) -> None:
        mine = f"export-{self._schedule.seed}-"
        for each in [*self._world.new_entries(), *self._fleet.new_entries()]:
            request_id = str(each.entry["requestId"])
            # Entries of the courses before this one may be delivered again.
            if request_id.startswith(mine) or not request_id.startswith("export-"):
                self._audit.append(each)

    def report(self) -> Report:
        """Compares what is there with what must be there."""
        self._collect()
        observed = Observed(
            items=self._items,
            dead_letters=self._world.dead_letters(),
            audit=self._audit,
            sinks=SINKS,
            left_in_queue=self._world.messages_in_queue(),
            left_in_table=sorted(self._world.items()),
        )
        report = check(self._sent, self._deletions, observed, TTL_SECONDS)
        report.wrong += self._notes
        return report
