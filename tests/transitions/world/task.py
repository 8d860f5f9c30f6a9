"""The service's transitions half on a world's clients, its threads replaced by steps."""

import threading
from pathlib import Path
from typing import Any

from processor.aws.sqs import RedrivePolicy
from processor.observability.health import Health
from processor.observability.metrics import Metrics, Part
from processor.settings import Settings
from processor.startup_checks import QueueState
from processor.transitions.context import Clocks, PipelineContext
from processor.transitions.pipeline import Transitions
from tests.transitions.world.clock import SimulatedClock
from tests.transitions.world.world import Step, World


class SimulatedFlag(threading.Event):
    """An event whose waits let simulated time pass."""

    def __init__(self, clock: SimulatedClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is set, after the time-out."""
        if not self.is_set():
            self._clock.advance(max(0.0, timeout or 0.0))
        return self.is_set()


class SimulatedTask:
    """One task of the service.

    Args:
        world: its queue, table and clock.
    """

    def __init__(self, world: World) -> None:
        plan, clock = world.plan, world.clock
        self._clock = clock
        self._steps: list[Step] = []
        values: dict[str, Any] = {
            "DYNAMODB_EXPORT_STATUS_TABLE": "simulated",
            "SQS_EXPORT_EVENTS_QUEUE_URL": world.sqs.events_url,
            "EXPORT_WRITE_MODE": plan.write_mode,
            "EXPORT_STATUS_TTL_SECONDS": str(plan.ttl_seconds),
            **plan.settings,
        }
        aws: Any = world
        context = PipelineContext(
            Settings(_env_file=None, **values),
            Metrics([Part.TRANSITIONS]),
            Health(Path("health"), warn=lambda _problem: None, clock=clock.monotonic),
            Clocks(clock.utc(plan.skew_seconds), clock.monotonic, world.rng),
            stop=SimulatedFlag(clock),
            abandon=SimulatedFlag(clock),
        )
        parts = Transitions(
            aws,
            QueueState(plan.visibility_seconds, RedrivePolicy(None, world.sqs.max_receive_count)),
            world.sqs.dead_letters_url,
            context,
            wake=self._wake,
        )
        spread = world.rng.random
        self._steps = [
            Step(receiver.step, clock.time + spread() * 0.1, f"receiver-{number}")
            for number, receiver in enumerate(parts.receivers)
        ]
        self._steps.append(Step(parts.keep_house, clock.time, "housekeeping"))

    def _wake(self, number: int) -> None:
        step = self._steps[number]
        step.due = min(step.due, self._clock.time)

    def steps(self) -> list[Step]:
        """Every step of the task."""
        return self._steps
