"""Runs one schedule from the first message to the last audit entry, and compares."""

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.faults.backends import Backends
from tests.faults.checker import Delivered, Item, Observed, Report, check
from tests.faults.expected import DeletedByHand, Sent
from tests.faults.fault_plan import FaultPlan
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


class TooSlow(Exception):
    """The machine did not settle the messages before their exports' end: the run proves nothing."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    schedule: Schedule
    report: Report
    seconds: float
    calls: int
    faults: int
    tasks: int


def run(schedule: Schedule, at: Backends, say: Callable[[str], None] = lambda _: None) -> Result:
    """Runs a schedule on emulators that may be shared.

    Raises:
        TooSlow: if its messages were not settled in time.
    """
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
        seen = world.proxy.control({})
    calls = sum(seen["calls"].values())
    return Result(schedule, report, time.monotonic() - began, calls, count_faults(seen), tasks.started)


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


def count_faults(seen: Mapping[str, Any]) -> int:
    """How many calls the proxy let fail, by its own report."""
    return sum(count for kinds in seen["faults"].values() for kind, count in kinds.items() if kind != "none")


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
        with _Sending(self._world, planned.timely, self._sent):
            self._go_on(schedule.while_sending, until=time.time() + size.sending_seconds)
        self._settle("the messages")
        items = self._world.items()
        self._items |= {(key, 0): item for key, item in items.items()}
        self._retell(planned.retold)
        self._say("waiting for the exports' end")
        self._go_on((), until=self._ends + LATE_AFTER_SECONDS)
        self._end(planned.late)

    def _retell(self, retold: Mapping[str, Message]) -> None:
        """An operator deletes items, and producers report their exports again."""
        self._world.delete(list(retold))
        self._deletions += [DeletedByHand(request_id, time.time()) for request_id in retold]
        with _Sending(self._world, retold.values(), self._sent):
            self._go_on((), until=time.time() + 1)
        self._settle("the repeated reports")
        for key, item in self._world.items().items():
            if key in retold:
                self._items[key, 1] = item
            elif self._items.get((key, 0)) != item:
                self._notes.append(f"the item {key} changed although nothing was sent")

    def _end(self, late: Sequence[Message]) -> None:
        """The exports expire, are reported too late, are deleted and audited."""
        self._say("the exports end")
        reaper = Reaper(self._world, late_seconds=self._schedule.reaped_after_seconds)
        reaper.start()
        wanted = len(self._items)
        self._world.proxy.set_plan(self._schedule.ending_plan)
        with _Sending(self._world, late, self._sent):
            self._go_on(self._schedule.while_ending, until=time.time() + LATE_WITHIN_SECONDS)
        deadline = time.time() + self._schedule.audited_within_seconds
        while not self._is_over(wanted):
            if time.time() > deadline:
                self._notes.append("not everything had ended in time")
                break
            self._go_on((), until=time.time() + 1)
        reaper.stop()

    def _is_over(self, wanted: int) -> bool:
        return self._has_audited(wanted) and self._world.messages_in_queue() == 0

    def _has_audited(self, wanted: int) -> bool:
        self._collect()
        found = {sink: {each.entry["auditId"] for each in self._audit if each.sink == sink} for sink in SINKS}
        return all(len(entries) >= wanted for entries in found.values())

    def _settle(self, what: str) -> None:
        """Returns when the queue is empty: every message had its effect."""
        self._say(f"settling {what}")
        while left := self._world.messages_in_queue():
            if time.time() > self._ends - EARLIEST_END_SECONDS:
                starts = "".join(f"\n  did not start: {each}" for each in self._fleet.failed_starts)
                raise TooSlow(f"{left} of {what} were not settled when the exports ended{starts}")
            self._go_on((), until=time.time() + 2 * TICK_SECONDS)

    def _go_on(self, actions: Iterable[Action], *, until: float) -> None:
        """Carries out the schedule's moves and keeps up the fleet, until that instant and the last action."""
        begin, pause = time.time(), threading.Event()
        left = deque(actions)
        while left or time.time() < until:
            while left and self._is_due(left[0], begin):
                self._do(left.popleft().move)
            self._fleet.tend()
            pause.wait(TICK_SECONDS)

    def _is_due(self, action: Action, begin: float) -> bool:
        late = time.time() - begin - action.at
        if late < 0 or late > PATIENCE_SECONDS:
            return late > 0
        match action.once:
            case Once.NOTHING:
                return True
            case Once.SINK_FAILED:
                return "error" in self._world.proxy.control({})["faults"].get("Kinesis.PutRecords", {})
            case Once.AUDITED:
                return self._has_audited(len(self._items) - len(self._deletions))

    def _do(self, move: Move) -> None:
        match move:
            case Move.HEAL:
                self._world.proxy.set_plan(FaultPlan())
            case Move.RESHARD:
                self._world.proxy.control({"reshard": self._schedule.seed})
            case Move.ROLL_ALL:
                self._world.proxy.control({"roll_all": True})
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


class _Sending:
    """Sends messages at their times in a thread; a context manager that waits for its end."""

    def __init__(self, world: World, messages: Iterable[Message], sent: list[Sent]) -> None:
        self._world = world
        self._left = deque(messages)
        self._sent = sent
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="producers", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._send()
        except Exception as failure:  # noqa: BLE001 - raised again in the thread that waits
            self._failure = failure

    def _send(self) -> None:
        begin, pause = time.time(), threading.Event()
        while self._left:
            wait = begin + self._left[0].after_seconds - time.time()
            if wait > 0:
                pause.wait(wait)
            due: list[Message] = []
            while (
                self._left and len(due) < SQS_MAX_BATCH and begin + self._left[0].after_seconds <= time.time()
            ):
                due.append(self._left.popleft())
            entries: Any = [{"Id": str(number), "MessageBody": each.body} for number, each in enumerate(due)]
            at = time.time()
            answer = self._world.sqs.send_message_batch(QueueUrl=self._world.queue_url, Entries=entries)
            ids = {int(each["Id"]): each["MessageId"] for each in answer["Successful"]}
            self._sent += [Sent(ids[number], at, each.body, each.event) for number, each in enumerate(due)]
