"""The circuit breaker pauses polling: one probe at a time, growing pauses, and polling resumes by itself."""

import threading
from pathlib import Path
from typing import Any

from processor.aws.errors import AwsError, Misconfigured, Transient
from processor.observability.health import check
from processor.observability.metrics import Metric
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.context import Timing
from tests.transitions.rig import context, counted

DOWN = Transient("UpdateItem", "InternalServerError")
TIMING = Timing()


class Rig:
    """A breaker whose probes fail with the given errors, and then pass."""

    def __init__(self, directory: Path, *errors: AwsError) -> None:
        self.errors = list(errors)
        self.now = 0.0
        self.probed_at: list[float] = []
        self.path = directory / "health"
        self.context = context(monotonic=lambda: self.now, health_file=self.path)
        self.metrics = self.context.metrics
        self.breaker = CircuitBreaker(self.probe, self.context)

    def probe(self) -> None:
        self.probed_at.append(self.now)
        if self.errors:
            raise self.errors.pop(0)

    def wait_while_tripped(self) -> None:
        while pause := self.breaker.pause():
            assert pause <= TIMING.breaker_look_seconds, "a receiver looks again soon"
            self.now += pause

    def degraded(self) -> tuple[str, ...]:
        self.context.health.write()
        return check(self.path, lambda: self.now).degraded


def test_pauses_grow_with_jitter_until_a_probe_passes(tmp_path: Path, logged: list[Any]) -> None:
    rig = Rig(tmp_path, Misconfigured("UpdateItem", "AccessDeniedException"), *[DOWN] * 7)
    assert rig.breaker.pause() == 0.0, "it is not tripped"
    rig.breaker.trip(DOWN)
    rig.breaker.trip(DOWN)
    assert counted(rig.metrics, Metric.STORE_PAUSED) == 1
    assert rig.degraded() == ("status table: UpdateItem: InternalServerError",)
    while not rig.probed_at:
        rig.now += rig.breaker.pause()
    assert rig.degraded() == ("status table: UpdateItem: AccessDeniedException",), "the latest reason"
    rig.wait_while_tripped()
    pauses = [later - earlier for earlier, later in zip([0.0, *rig.probed_at], rig.probed_at, strict=False)]
    wholes = [
        min(TIMING.breaker_pause_most_seconds, TIMING.breaker_pause_seconds * 2**number)
        for number in range(9)
    ]
    assert len(pauses) == 9
    for waited, whole in zip(pauses, wholes, strict=True):
        assert whole / 2 <= waited <= whole + 0.01
    counted(rig.metrics, Metric.STORE_PAUSED)  # the highest since the line before
    assert counted(rig.metrics, Metric.STORE_PAUSED) == 0
    assert rig.degraded() == ()
    assert [line["event"] for line in logged] == ["store_paused", "store_resumed"]
    assert logged[0]["log_level"] == "error"


def test_a_second_outage_begins_with_a_short_pause_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, *[DOWN] * 8)
    rig.breaker.trip(DOWN)
    rig.wait_while_tripped()
    tripped_at = rig.now
    rig.breaker.trip(DOWN)
    rig.wait_while_tripped()
    assert rig.probed_at[-1] - tripped_at <= TIMING.breaker_pause_seconds


def test_while_one_receiver_probes_the_others_wait_for_it(tmp_path: Path) -> None:
    probing, answer = threading.Event(), threading.Event()
    rig = Rig(tmp_path)

    def probe() -> None:
        probing.set()
        assert answer.wait(60)

    breaker = CircuitBreaker(probe, rig.context)
    breaker.trip(DOWN)
    rig.now = TIMING.breaker_pause_seconds
    pauses: list[float] = []
    first = threading.Thread(target=lambda: pauses.append(breaker.pause()))
    first.start()
    assert probing.wait(60)
    assert [breaker.pause() for _ in range(7)] == [TIMING.breaker_look_seconds] * 7
    answer.set()
    first.join(60)
    assert (pauses, breaker.pause()) == ([0.0], 0.0)
