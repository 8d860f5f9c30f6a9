"""Tasks of the transitions half in one thread and simulated time.

A task is made by the service's composition function; its threads are replaced by a schedule: each step runs
when it said it wants to. A step begins at its own time, also where another step that began earlier has moved
the clock further: they run at the same time, in different threads.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.transitions.world.clock import SimulatedClock
from tests.transitions.world.faults import Faults, Killed, Window
from tests.transitions.world.ledger import Ledger
from tests.transitions.world.queues import SimulatedSqs
from tests.transitions.world.table import SimulatedDynamoDb
from tests.transitions.world.traffic import Pattern, traffic


class Task(Protocol):
    """A running service, as the schedule sees it."""

    def steps(self) -> "Sequence[Step]":
        """The steps that run at present; a step that ended is no longer among them."""


@dataclass(slots=True, eq=False)
class Step:
    """One runner: what it does, and when it wants to do it next (world seconds)."""

    run: Callable[[], float | None]
    due: float
    name: str = ""


@dataclass(frozen=True, slots=True)
class IndexOfAnotherType:
    """For a time the table has indexes whose keys want other types than the service writes.

    Attributes:
        start, end: from when to when (world seconds).
        types: the wanted type by attribute, such as `{"fileName": "N"}`.
    """

    start: float
    end: float
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a world is made of, but for its randomness."""

    patterns: Sequence[Pattern]
    ttl_seconds: int = 900
    windows: Sequence[Window] = ()
    kills: Sequence[float] = ()
    """When the task is killed (world seconds); another one starts a few seconds later."""
    skew_seconds: float = 0.0
    fifo: bool = False
    write_mode: str = "auto"
    visibility_seconds: int = 120
    tells_items: bool = True
    latency_seconds: float = 0.01
    index: IndexOfAnotherType | None = None
    drains_within: float = 120.0
    """So many seconds after the last arrival and the last fault the queue must be empty."""
    settings: Mapping[str, object] = field(default_factory=dict)


MakeTask = Callable[["World"], Task]
_RESTART_SECONDS = 3.0


class World:
    """The queue, the table, the clock, the tasks, and what the outside has seen.

    Args:
        seed: the same seed and plan give the same history.
        plan: what happens.
        make_task: makes a service on this world's clients.
    """

    def __init__(self, seed: int, plan: Plan, make_task: MakeTask) -> None:
        self.plan = plan
        self.rng = random.Random(seed)
        self.clock = SimulatedClock()
        self.faults = Faults(self.clock, self.rng, plan.latency_seconds)
        self.faults.windows = [*plan.windows]
        self.ledger = Ledger(self.clock, plan.ttl_seconds, abs(plan.skew_seconds))
        self.sqs = SimulatedSqs(
            self.clock,
            self.faults,
            self.rng,
            visibility_seconds=plan.visibility_seconds,
            fifo=plan.fifo,
            on_delete=self.ledger.deleted,
            on_letter=self.ledger.rejected_letter,
        )
        self.table = SimulatedDynamoDb(
            self.ledger.wrote, self.faults, self.clock, self.rng, tells_items=plan.tells_items
        )
        self.traffic = traffic(plan.patterns, self.rng, fifo=plan.fifo)
        for event in self.traffic:
            number = self.sqs.send(event.body, event.arrives_at, event.request_id if plan.fifo else None)
            self.ledger.sent(number, event)
        self._make_task = make_task
        self._kills = sorted(plan.kills, reverse=True)

    def receiving(self) -> SimulatedSqs:
        """As `processor.aws.clients.Aws`, also the next two."""
        return self.sqs

    settling = receiving

    def dynamodb(self) -> SimulatedDynamoDb:
        """The status table's client."""
        return self.table

    @property
    def calm_from(self) -> float:
        """When the last fault is over (world seconds)."""
        ends = [window.end for window in self.plan.windows]
        ends += [self.plan.index.end] if self.plan.index else []
        return max([0.0, *ends, *(at + _RESTART_SECONDS for at in self.plan.kills)])

    def run(self) -> None:
        """Runs until the queue is empty, and checks the end.

        Raises:
            AssertionError: if a law is broken, or the backlog does not drain in time.
        """
        end = max([event.arrives_at for event in self.traffic] + [self.calm_from]) + self.plan.drains_within
        task = self._make_task(self)
        while self.sqs.left:
            step = min(task.steps(), key=lambda each: each.due)
            assert step.due < end, f"{self.sqs.left} messages are left at {step.due:.0f} s"
            if self._kills and self._kills[-1] <= step.due:
                self._kills.pop()
                self.faults.kill_after_calls = self.rng.randint(1, 20)
            self.clock.time = step.due
            self._set_index()
            try:
                delay = step.run()
            except Killed:
                self.clock.time += _RESTART_SECONDS
                task = self._make_task(self)
                continue
            step.due = float("inf") if delay is None else self.clock.time + delay
        assert not self.sqs.redriven, "SQS itself moved messages to the dead-letter queue"
        self.ledger.check_end(calm_from=self.calm_from + self.plan.drains_within)

    def _set_index(self) -> None:
        index = self.plan.index
        there = index is not None and index.start <= self.clock.time < index.end
        self.table.index_types = dict(index.types) if index is not None and there else {}
