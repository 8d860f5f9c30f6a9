"""Steps run when they are due, in few threads, and one that hangs or breaks costs no other."""

import threading
from collections.abc import Callable

import pytest

from processor.streams.step_pool import IDLE_SECONDS, StepPool, Task


class Bench:
    """A pool on a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0
        self.woken: list[int] = []
        self.deaths: list[tuple[str, str]] = []
        self.ran: list[str] = []
        self.pool = StepPool(
            self.woken.append,
            lambda: self.time,
            lambda name, error: self.deaths.append((name, type(error).__name__)),
        )

    def task(self, name: str, *pauses: float) -> Task:
        """A task whose steps ask for these pauses, and then end."""
        left = list(pauses)

        def step() -> float | None:
            self.ran.append(name)
            return left.pop(0) if left else None

        task = Task(name, step, lambda: self.ran.append(f"{name} ended"))
        self.pool.add(task)
        return task


@pytest.fixture
def bench() -> Bench:
    """A pool without tasks."""
    return Bench()


def test_the_task_that_is_due_first_runs_first(bench: Bench) -> None:
    bench.task("a", 2.0)
    bench.task("b", 1.0)
    assert [bench.pool.step(0) for _ in range(2)] == [0.0, 0.0]
    assert bench.pool.step(0) == 1.0
    bench.time += 2.5
    bench.pool.step(0)
    bench.pool.step(0)
    assert bench.ran == ["a", "b", "b", "b ended", "a", "a ended"]


def test_one_idle_thread_waits_for_the_next_task_and_the_others_do_not(bench: Bench) -> None:
    bench.task("a", 1.0, 1.0)
    bench.task("b", 3.0)
    bench.pool.step(0)
    bench.pool.step(0)
    assert bench.pool.step(0) == 1.0
    assert bench.pool.step(1) == IDLE_SECONDS
    bench.time += 1.0
    bench.woken.clear()
    assert bench.pool.step(0) == 0.0
    assert bench.woken[:1] == [1], "another thread waits for b while this one runs a"


def test_a_woken_task_is_due_at_once(bench: Bench) -> None:
    task = bench.task("a", 60.0)
    bench.pool.step(0)
    assert bench.pool.step(0) == IDLE_SECONDS
    bench.pool.wake(task)
    assert bench.woken == [0]
    assert bench.pool.step(0) == 0.0
    assert not task.is_alive


def test_a_task_that_is_woken_while_it_runs_runs_again_at_once(bench: Bench) -> None:
    def step() -> float:
        bench.ran.append("a")
        if len(bench.ran) == 1:
            bench.pool.wake(task)
        return 60.0

    task = Task("a", step, lambda: None)
    bench.pool.add(task)
    bench.pool.step(0)
    bench.pool.step(1)
    assert bench.ran == ["a", "a"]


def test_a_step_that_raises_ends_its_task_and_is_reported(bench: Bench) -> None:
    def step() -> float:
        raise ZeroDivisionError

    task = Task("a", step, lambda: bench.ran.append("a ended"))
    bench.pool.add(task)
    bench.task("b")
    bench.pool.step(0)
    bench.pool.step(0)
    assert bench.deaths == [("a", "ZeroDivisionError")]
    assert not task.is_alive
    assert bench.ran == ["b", "b ended"]


def test_a_task_that_hangs_costs_one_thread(bench: Bench) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        let_go.wait(10)

    def step(action: Callable[[], None]) -> None:
        action()

    bench.pool.add(Task("a", lambda: step(hang), lambda: None))
    thread = threading.Thread(target=bench.pool.step, args=(0,))
    thread.start()
    try:
        assert begun.wait(10)
        bench.task("b")
        bench.pool.step(1)
        assert bench.ran == ["b", "b ended"]
    finally:
        let_go.set()
        thread.join(10)
