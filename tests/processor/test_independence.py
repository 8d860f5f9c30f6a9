"""Each half starts by itself, and as often as it takes: docs/invariants.md, law 12, on a simulated clock."""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from botocore.exceptions import EndpointConnectionError

from processor.audit.pipeline import AuditPart
from processor.loops import StopReport
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.service import Pipeline, Starts
from processor.settings import Settings
from processor.startup_checks import StartError, Unreachable
from processor.streams.clocks import Clocks
from tests.audit.kinesis_standin import Kinesis
from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.model import SimulatedTable
from tests.simulated_stream.rows import SimulatedRows
from tests.transitions.world.clock import SimulatedClock
from tests.transitions.world.task import SimulatedTask
from tests.transitions.world.traffic import Pattern
from tests.transitions.world.world import Plan, Step, World


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


HOUR = 3_600.0
MISSING = StartError("the table does not exist")
SILENT = Unreachable("the table cannot be reached")


class Half:
    """A half whose start fails, or calls something."""

    def __init__(self, on_start: Exception | Callable[[], None]) -> None:
        self._on_start = on_start

    def start(self, _cancelled: threading.Event) -> None:
        if isinstance(self._on_start, Exception):
            raise self._on_start
        self._on_start()

    def stop(self, deadline: float) -> None: ...

    def join(self) -> StopReport:
        return StopReport(clean=True, hung=False)


def starts_of(
    halves: Mapping[str, Pipeline],
    clock: SimulatedClock,
    health: Path,
    on_started: Callable[[], None] = lambda: None,
) -> Starts:
    return Starts(
        halves,
        threading.Event(),
        Metrics(),
        Health(health, warn=lambda _problem: None),
        on_started=on_started,
        monotonic=clock.monotonic,
    )


def attempts(starts: Starts, clock: SimulatedClock, seconds: float, *parts: str) -> None:
    """Repeats the starts of these halves for a time."""
    due = dict.fromkeys(parts, clock.time)
    while due and min(due.values()) < seconds:
        part = min(due, key=lambda each: due[each])
        clock.time = due.pop(part)
        wait = starts.step(part)
        if wait is not None:
            due[part] = clock.time + wait


@pytest.mark.parametrize("audit", [MISSING, SILENT, None], ids=str)
def test_what_does_not_answer_is_waited_for_without_limit(
    tmp_path: Path, logged: list[Any], audit: Exception | None
) -> None:
    clock = SimulatedClock()
    halves = {"transitions": Half(SILENT), "audit": Half(audit or (lambda: None))}
    attempts(starts_of(halves, clock, tmp_path / "health"), clock, HOUR, *halves)
    lines = [line["event"] for line in logged if line["part"] == "transitions"]
    assert lines[0] == "start_waits"
    assert set(lines[1:]) == {"part_waiting"}
    assert len(lines) == pytest.approx(HOUR / 60, abs=8)  # one a minute, a back-off late


@pytest.mark.parametrize("parts", [("transitions",), ("audit",), ("transitions", "audit")], ids=str)
def test_what_is_missing_ends_a_start_without_a_half_after_a_minute(
    tmp_path: Path, logged: list[Any], parts: tuple[str, ...]
) -> None:
    clock = SimulatedClock()
    halves = {part: Half(MISSING) for part in parts}
    with pytest.raises(StartError, match=str(MISSING)):
        attempts(starts_of(halves, clock, tmp_path / "health"), clock, HOUR, *parts)
    assert 60 <= clock.time <= 70
    assert {line["event"] for line in logged} == {"part_waiting"}


def test_what_is_missing_for_one_half_never_ends_the_other(tmp_path: Path, logged: list[Any]) -> None:
    clock = SimulatedClock()
    halves = {"transitions": Half(lambda: None), "audit": Half(MISSING)}
    attempts(starts_of(halves, clock, tmp_path / "health"), clock, HOUR, *halves)
    assert clock.time > HOUR - 10
    assert {(line["event"], line["part"], line["log_level"]) for line in logged} == {
        ("part_waiting", "audit", "error")
    }


def test_both_halves_that_start_late_are_a_start(tmp_path: Path) -> None:
    clock, started = SimulatedClock(), []
    failures = [MISSING, SILENT, MISSING]

    def late() -> None:
        if failures:
            raise failures.pop()

    halves = {"transitions": Half(late), "audit": Half(late)}
    starts = starts_of(halves, clock, tmp_path / "health", lambda: started.append(clock.time))
    attempts(starts, clock, HOUR, *halves)
    assert len(started) == 1
    assert 0 < clock.time < 10


class Away:
    """A client that nothing reaches for an hour."""

    def __init__(self, client: object, clock: SimulatedClock) -> None:
        self._client = client
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        def called(**arguments: Any) -> Any:
            if self._clock.time < HOUR:
                raise EndpointConnectionError(endpoint_url="https://away.invalid")
            return getattr(self._client, name)(**arguments)

        return called


class AuditStream(Kinesis):
    """A stream that can be looked up."""

    def describe_stream_summary(self, **_arguments: Any) -> dict[str, Any]:
        return {}


class Runner:
    """One of the audit's threads as a step of the world. It needs no wake: its waits are short."""

    def __init__(self, steps: list[Step], clock: SimulatedClock, step: Callable[[], float | None]) -> None:
        self._steps = steps
        self._clock = clock
        self._step = step
        self.is_alive = False

    def start(self) -> None:
        self.is_alive = True
        self._steps.append(Step(self._step, self._clock.time))

    def beat(self) -> None: ...

    def wake(self) -> None: ...


class BothHalves:
    """A task of which `Starts` starts both halves."""

    def __init__(self, world: World, away: str, health: Path) -> None:
        self.world = world
        clock = world.clock
        self.table = SimulatedTable("simulated", clock.unix)
        self.removals = [self.table.write(f"export-{number}") for number in range(20)]
        self.stream = AuditStream()
        self._clients: dict[str, Any] = {
            "dynamodb": world.table,
            "streams": SimulatedStreamsClient(self.table),
            "leases": SimulatedRows(),
            "kinesis": self.stream,
        }
        self._clients[away] = Away(self._clients[away], clock)
        self._steps: list[Step] = []
        self._transitions: SimulatedTask | None = None
        aws: Any = self
        values: dict[str, Any] = {
            "DYNAMODB_EXPORT_STATUS_TABLE": "simulated",
            "EXPORT_AUDIT_SINKS": "kinesis",
            "KINESIS_EXPORT_AUDIT_STREAM": "export-audit",
        }
        audit = AuditPart(
            settings=Settings(_env_file=None, **values),
            aws=aws,
            metrics=Metrics(),
            health=Health(health, warn=lambda _problem: None),
            on_death=lambda name, error: pytest.fail(f"{name}: {error!r}"),
            clocks=Clocks(clock.monotonic, clock.unix, clock.monotonic),
            runner=self._runner,
        )
        starts = starts_of({"transitions": Half(self._start_transitions), "audit": audit}, clock, health)
        self._steps += [Step(partial(starts.step, part), 0.0, part) for part in ("transitions", "audit")]

    def __getattr__(self, service: str) -> Any:
        """The client of a service, as `Aws` gives it."""
        return lambda: self._clients[service]

    def settling(self) -> None: ...

    def _runner(self, _name: str, step: Callable[[], float | None], **_others: object) -> Any:
        return Runner(self._steps, self.world.clock, step)

    def _start_transitions(self) -> None:
        self._transitions = SimulatedTask(self.world)

    def steps(self) -> list[Step]:
        return [*self._steps, *(self._transitions.steps() if self._transitions else [])]

    def run(self, seconds: float) -> None:
        """Goes on after the world's last message."""
        end = self.world.clock.time + seconds
        while (step := min(self.steps(), key=lambda each: each.due)).due < end:
            self.world.clock.time = step.due
            wait = step.run()
            step.due = float("inf") if wait is None else self.world.clock.time + wait


@pytest.mark.slow
@pytest.mark.parametrize("away", ["kinesis", "leases", "streams"])
def test_an_hour_without_what_the_audit_needs_holds_up_no_event(tmp_path: Path, away: str) -> None:
    tasks: list[BothHalves] = []

    def make(world: World) -> BothHalves:
        tasks.append(BothHalves(world, away, tmp_path / "health"))
        return tasks[0]

    plan = Plan([Pattern(0.3, HOUR)], drains_within=30.0)
    world = World(1, plan, make)
    world.run()  # each event was applied in time: the ledger checks it
    [task] = tasks
    assert HOUR - 60 < world.clock.time < HOUR + 30
    task.run(60)
    assert sorted(entry.audit_id for entry in task.stream.entries()) == sorted(task.removals)
