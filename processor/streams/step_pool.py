"""Runs the steps of many shards in a fixed number of threads, each step when it is due."""

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

IDLE_SECONDS = 5.0
"""The longest wait of a thread without a task; it shows that the thread goes on."""


@dataclass(eq=False, slots=True)
class Task:
    """A sequence of steps; one thread at a time runs it.

    Attributes:
        name: for the report of an error.
        step: does one thing and returns how long to wait before the next step; None: there is no next one.
        done: set after the last step, or when one raised.
        runner: the number of the thread that runs or ran it.
    """

    name: str
    step: Callable[[], float | None]
    done: threading.Event = field(default_factory=threading.Event)
    runner: int = 0
    version: int = 0
    is_running: bool = False
    is_woken: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether more steps follow."""
        return not self.done.is_set()

    def join(self, timeout_seconds: float) -> bool:
        """Waits for the end; returns whether it has come."""
        return self.done.wait(max(0.0, timeout_seconds))


class StepPool:
    """Tasks by due time. Each thread calls `step` with its number.

    One idle thread waits for the next due task, the others until they are woken: a step wakes at most one.

    Args:
        wake: wakes the thread of a number.
        clock: monotonic seconds.
        on_death: called with the name and the error of a task whose step raises; the task is over then.
    """

    def __init__(
        self,
        wake: Callable[[int], None],
        clock: Callable[[], float],
        on_death: Callable[[str, BaseException], None],
    ) -> None:
        self._wake = wake
        self._clock = clock
        self._on_death = on_death
        self._lock = threading.Lock()
        self._due: list[tuple[float, int, int, Task]] = []
        self._order = itertools.count()
        self._idle: set[int] = set()
        self._waiting: int | None = None
        self._waiting_until = float("inf")

    def add(self, task: Task) -> None:
        """Begins to run a task's steps."""
        with self._lock:
            self._push(task, self._clock())

    def wake(self, task: Task) -> None:
        """Lets a task's next step not wait any longer."""
        with self._lock:
            if task.is_running:
                task.is_woken = True
            elif task.is_alive:
                self._push(task, self._clock())

    def step(self, number: int) -> float:
        """Runs the next step that is due.

        Returns:
            How long the thread may wait before it asks again (seconds).
        """
        with self._lock:
            task, wait = self._next(number)
        if task is None:
            return wait
        try:
            pause = task.step()
        except Exception as error:  # noqa: BLE001 - reported with the task's name, which ends the process
            task.done.set()
            self._on_death(task.name, error)
            return 0.0
        if pause is None:
            task.done.set()
            return 0.0
        with self._lock:
            task.is_running = False
            now = self._clock()
            self._push(task, now if task.is_woken else now + pause)
            task.is_woken = False
        return 0.0

    def _next(self, number: int) -> tuple[Task | None, float]:
        """The task to run, or None and how long to wait; the caller holds the lock."""
        if self._waiting == number:
            self._waiting, self._waiting_until = None, float("inf")
        while self._due and self._due[0][2] != self._due[0][3].version:
            heapq.heappop(self._due)  # it was woken since
        now = self._clock()
        if self._due and self._due[0][0] <= now:
            task = heapq.heappop(self._due)[3]
            task.is_running, task.runner = True, number
            self._idle.discard(number)
            if self._due and self._waiting is None:
                self._wake_one()
            return task, 0.0
        self._idle.add(number)
        if self._waiting is not None or not self._due:
            return None, IDLE_SECONDS
        self._waiting, self._waiting_until = number, self._due[0][0]
        return None, min(IDLE_SECONDS, self._waiting_until - now)

    def _push(self, task: Task, due: float) -> None:
        task.version += 1
        heapq.heappush(self._due, (due, next(self._order), task.version, task))
        if due < self._waiting_until:
            self._wake_one()

    def _wake_one(self) -> None:
        """Lets one idle thread look again, the one that waits for a task first."""
        number = self._waiting if self._waiting is not None else next(iter(self._idle), None)
        if number is not None:
            self._wake(number)
