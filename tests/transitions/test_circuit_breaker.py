"""The breaker that pauses polling: one prober, growing pauses, and it opens by itself."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from processor.aws.errors import Misconfigured, Transient
from processor.observability.health import Health, check
from processor.observability.metrics import Metric, Metrics
from processor.transitions.circuit_breaker import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, CircuitBreaker
from tests.waiting import eventually

DOWN = Transient("UpdateItem", "InternalServerError")


class Pulse:
    """A heartbeat that does not wait, and remembers for how long it should have."""

    def __init__(self, stop_after: int = 1_000) -> None:
        self.waits: list[float] = []
        self._stop_after = stop_after

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        if len(self.waits) >= self._stop_after:
            event.set()
        return event.is_set()


def breaker_on(probes: list[Exception | None], path: Path) -> tuple[CircuitBreaker, Metrics, Health]:
    def probe() -> None:
        error = probes.pop(0)
        if error is not None:
            raise error

    metrics, health = Metrics(), Health(path, warn=pytest.fail)
    return CircuitBreaker(probe, metrics, health), metrics, health


def degraded(health: Health, path: Path) -> tuple[str, ...]:
    health.write()
    return check(path, time.monotonic).degraded


def test_an_open_gate_costs_no_wait(tmp_path: Path) -> None:
    breaker, _, _ = breaker_on([], tmp_path / "health")
    pulse: Any = Pulse()
    breaker.wait_until_open(threading.Event(), pulse)
    assert pulse.waits == []


def test_pauses_grow_with_jitter_until_a_probe_passes(tmp_path: Path, logged: list[Any]) -> None:
    probes: list[Exception | None] = [DOWN] * 8 + [None]
    breaker, metrics, health = breaker_on(probes, tmp_path / "health")
    breaker.close(DOWN)
    breaker.close(DOWN)
    assert metrics._states[Metric.STORE_PAUSED] == 1
    assert degraded(health, tmp_path / "health") == ("status table: UpdateItem: InternalServerError",)
    pulse: Any = Pulse()
    breaker.wait_until_open(threading.Event(), pulse)
    wholes = [min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**number) for number in range(9)]
    assert len(pulse.waits) == 9
    assert all(whole / 2 <= waited <= whole for waited, whole in zip(pulse.waits, wholes, strict=True))
    assert metrics._states[Metric.STORE_PAUSED] == 0
    assert degraded(health, tmp_path / "health") == ()
    assert [line["event"] for line in logged] == ["store_paused", "store_resumed"]
    assert logged[0]["log_level"] == "error"


def test_the_health_file_shows_the_latest_reason(tmp_path: Path) -> None:
    denied = Misconfigured("UpdateItem", "AccessDeniedException")
    breaker, _, health = breaker_on([denied], tmp_path / "health")
    breaker.close(DOWN)
    stop, pulse = threading.Event(), Pulse(stop_after=2)
    heartbeat: Any = pulse
    breaker.wait_until_open(stop, heartbeat)
    assert degraded(health, tmp_path / "health") == ("status table: UpdateItem: AccessDeniedException",)


def test_a_stop_ends_the_wait_at_once(tmp_path: Path) -> None:
    breaker, _, health = breaker_on([], tmp_path / "health")
    breaker.close(DOWN)
    stop = threading.Event()
    waiters = [
        threading.Thread(target=breaker.wait_until_open, args=(stop, health.loop(f"receiver-{number}", 60)))
        for number in range(4)
    ]
    for waiter in waiters:
        waiter.start()
    stop.set()
    for waiter in waiters:
        waiter.join(1)
        assert not waiter.is_alive()


def test_of_many_waiting_threads_one_probes_and_all_go_on(tmp_path: Path) -> None:
    probing = 0
    most = 0
    probed = 0
    lock = threading.Lock()

    def probe() -> None:
        nonlocal probing, most, probed
        with lock:
            probing += 1
            probed += 1
            most = max(most, probing)
        with lock:
            probing -= 1

    health = Health(tmp_path / "health", warn=pytest.fail)
    breaker = CircuitBreaker(probe, Metrics(), health)
    breaker.close(DOWN)
    stop = threading.Event()
    waiters = [
        threading.Thread(target=breaker.wait_until_open, args=(stop, health.loop(f"receiver-{number}", 60)))
        for number in range(8)
    ]
    for waiter in waiters:
        waiter.start()
    eventually(lambda: not any(waiter.is_alive() for waiter in waiters), 10)
    assert (most, probed) == (1, 1)
