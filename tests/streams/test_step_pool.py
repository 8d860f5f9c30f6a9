"""Steps run when they are due, in few threads."""

import pytest

from processor.streams.step_pool import IDLE_SECONDS, StepPool, Task


class Bench:
    """A pool on a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0
        self.woken: list[int] = []
        self.ran: list[str] = []
        self.pool = StepPool(self.woken.append, lambda: self.time, lambda name, _error: pytest.fail(name))

    def task(self, name: str, *pauses: float) -> Task:
        """A task whose steps ask for these pauses, and then end."""
        left = list(pauses)

        def step() -> float | None:
            self.ran.append(name)
            return left.pop(0) if left else None

        task = Task(name, step)
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
    assert bench.ran == ["a", "b", "b", "a"]


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

    task = Task("a", step)
    bench.pool.add(task)
    bench.pool.step(0)
    bench.pool.step(1)
    assert bench.ran == ["a", "a"]
