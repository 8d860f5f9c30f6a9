"""What the queue's attributes must be, at the start and when someone changes them while tasks run."""

import json
from pathlib import Path
from typing import Any

import pytest

from processor.aws.sqs import RedrivePolicy
from processor.observability.health import check
from processor.settings import SettingsError
from processor.startup_checks import QueueState
from processor.transitions.queue_monitor import (
    COMPONENT,
    READ_AGAIN_SECONDS,
    QueueMonitor,
    receives_needed,
    shortest_wait_seconds,
)
from tests.transitions.rig import context, service_error

TTL_SECONDS = 900


class World:
    """A queue whose attributes change, and the monitor of it on a clock that tests set."""

    def __init__(self, path: Path, visibility: int = 120, receives: int = 60, ttl: int = TTL_SECONDS) -> None:
        self.now = 0.0
        self.visibility, self.receives = visibility, receives
        self.error: Exception | None = None
        self._path = path / "health"
        parts = context(monotonic=lambda: self.now, health_file=self._path, ttl_seconds=ttl)
        self._health = parts.health
        client: Any = self
        state = QueueState(visibility, RedrivePolicy("arn", receives))
        self.monitor = QueueMonitor(client, "url", state, parts)

    def get_queue_attributes(self, **_request: Any) -> Any:
        if self.error:
            raise self.error
        policy = {"deadLetterTargetArn": "arn", "maxReceiveCount": self.receives}
        return {
            "Attributes": {"VisibilityTimeout": str(self.visibility), "RedrivePolicy": json.dumps(policy)}
        }

    def read_again(self) -> None:
        self.now += READ_AGAIN_SECONDS
        self.monitor.step()

    def degraded(self) -> str:
        self._health.write()
        return " ".join(check(self._path, clock=lambda: self.now).degraded)


def lines_of(logged: list[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line["log_level"]) for line in logged]


@pytest.mark.parametrize(("visibility", "ttl"), [(29, 900), (900, 900), (43_200, 900), (90, 90)])
def test_a_visibility_timeout_that_loses_events_ends_the_start(
    tmp_path: Path, visibility: int, ttl: int
) -> None:
    with pytest.raises(
        SettingsError, match=r"^SQS_EXPORT_EVENTS_QUEUE_URL must .* VisibilityTimeout must be"
    ):
        World(tmp_path, visibility, ttl=ttl).monitor.judge_start()


@pytest.mark.parametrize(
    ("state", "attributes"),
    [
        ((120, 60, 900), []),
        ((300, 60, 900), []),
        ((301, 60, 900), ["VisibilityTimeout"]),
        ((120, 5, 900), ["maxReceiveCount"]),
        ((30, 60, 12), ["VisibilityTimeout"]),
        ((30, 60, 60), []),
    ],
)
def test_what_delays_events_is_a_warning_at_the_start(
    tmp_path: Path, logged: list[Any], state: tuple[int, int, int], attributes: list[str]
) -> None:
    world = World(tmp_path, *state)
    world.monitor.judge_start()
    assert lines_of(logged) == [("queue_attributes_wrong", "warning")] * len(attributes)
    assert [line["attribute"] for line in logged] == attributes
    assert world.degraded() == ""


@pytest.mark.parametrize(
    ("visibility", "receives", "level"),
    [(900, 60, "error"), (5, 60, "error"), (120, 5, "error"), (301, 60, "warning")],
)
def test_a_harmful_change_is_logged_once_and_shown_until_it_is_undone(
    tmp_path: Path, logged: list[Any], visibility: int, receives: int, level: str
) -> None:
    world = World(tmp_path)
    world.visibility, world.receives = visibility, receives
    world.monitor.step()
    assert logged == [], "it is not due"
    world.read_again()
    world.read_again()
    assert lines_of(logged) == [("queue_attributes_changed", "warning"), ("queue_attributes_wrong", level)]
    assert world.degraded().startswith(f"{COMPONENT}: ")
    world.visibility, world.receives = 120, 60
    world.read_again()
    assert world.degraded() == ""


def test_a_raised_receive_limit_counts_in_a_running_task(tmp_path: Path) -> None:
    world = World(tmp_path, receives=5)
    world.receives = 60
    world.read_again()
    assert world.monitor.max_receive_count == 60


def test_what_cannot_be_read_again_stays_as_it_was(tmp_path: Path, logged: list[Any]) -> None:
    world = World(tmp_path)
    world.error = service_error("AccessDenied")
    world.read_again()
    assert lines_of(logged) == [("queue_attributes_unknown", "warning")]
    assert world.monitor.max_receive_count == 60
    world.error = None
    world.read_again()
    assert len(logged) == 1


@pytest.mark.parametrize(
    ("first", "later", "seconds"), [(120, 60, 60), (60, 120, 60), (43_200, 120, 120), (120, 5, 30)]
)
def test_a_batch_s_time_follows_the_visibility_timeout_within_bounds(
    tmp_path: Path, first: int, later: int, seconds: int
) -> None:
    world = World(tmp_path, first)
    assert world.monitor.handling_seconds == min(first, 300), "the heartbeat's limit is made of it"
    world.visibility = later
    world.read_again()
    assert world.monitor.handling_seconds == seconds


def test_the_shortest_wait_is_the_sum_of_the_shortest_back_offs() -> None:
    assert [shortest_wait_seconds(receives) for receives in (1, 2, 6, 7)] == [0, 1, 31, 61]
    assert shortest_wait_seconds(60) == 31 + 54 * 30


@pytest.mark.slow
def test_a_count_below_what_is_needed_does_not_outlast_the_ttl() -> None:
    for ttl_seconds in (1, 60, 900, 3_600, 20_000):
        needed = receives_needed(ttl_seconds)
        assert shortest_wait_seconds(needed) > ttl_seconds + 300 >= shortest_wait_seconds(needed - 1)
    assert receives_needed(900) < 60, "the contract's count outlasts its TTL"
    assert receives_needed(31_536_000) == 1_000, "SQS allows no more"
