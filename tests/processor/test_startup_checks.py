"""Insisting at the start: what is missing is tried a few times, what does not answer for a minute."""

import threading
from typing import Any

import pytest

from processor import startup_checks
from processor.aws.errors import Misconfigured, NoCredentials, NotFound, Transient
from processor.settings import SettingsError
from processor.startup_checks import StartError, insist

THROTTLED = Transient("DescribeTable", "ThrottlingException")
MISSING = NotFound("DescribeTable", "ResourceNotFoundException")


class World:
    """A clock that only waits move, and a call that fails by plan."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.now = 0.0
        self.waits: list[float] = []
        self.stop: Any = self

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return False

    def attempt(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(*errors: Exception) -> World:
        world = World(*errors)
        monkeypatch.setattr(startup_checks, "time", world)
        return world

    return make


def test_throttling_is_outlasted_for_a_minute_with_growing_waits(started: Any) -> None:
    world = started(*[THROTTLED] * 9)
    assert insist("the table", world.stop, world.attempt) == "answer"
    assert world.waits == [0.5, 1, 2, 4, 8, 8, 8, 8, 8]
    assert world.now > 45


def test_after_a_minute_of_no_answer_the_start_fails(started: Any) -> None:
    world = started(*[THROTTLED] * 99)
    with pytest.raises(
        StartError, match=r"^the table cannot be reached \(DescribeTable: ThrottlingException\)$"
    ):
        insist("the table", world.stop, world.attempt)
    assert 45 < world.now <= 60


def test_what_is_missing_five_times_fails_the_start_whatever_came_between(started: Any) -> None:
    world = started(*[MISSING, THROTTLED] * 4, MISSING)
    with pytest.raises(StartError, match=r"^the table does not exist in this region and account"):
        insist("the table", world.stop, world.attempt)
    assert world.errors == []
    world = started(*[MISSING] * 4)
    assert insist("the table", world.stop, world.attempt) == "answer"


def test_a_call_that_is_refused_is_not_repeated(started: Any) -> None:
    world = started(Misconfigured("DescribeTable", "AccessDeniedException"))
    with pytest.raises(Misconfigured):
        insist("the table", world.stop, world.attempt)
    assert world.waits == []


@pytest.mark.parametrize("code", ["NoCredentialsError", "PartialCredentialsError"])
def test_without_credentials_a_setting_is_named_at_once(started: Any, code: str) -> None:
    world = started(NoCredentials("DescribeTable", code))
    with pytest.raises(SettingsError) as refused:
        insist("the table", world.stop, world.attempt)
    assert str(refused.value) == (
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role must give credentials"
        f" (DescribeTable: {code})"
    )
    assert world.waits == []


@pytest.mark.parametrize("error", [THROTTLED, MISSING], ids=str)
def test_a_stop_ends_the_tries(error: Exception) -> None:
    world, stop = World(error), threading.Event()
    stop.set()
    with pytest.raises(StartError):
        insist("the table", stop, world.attempt)
