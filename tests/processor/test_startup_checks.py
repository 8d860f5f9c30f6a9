"""Retries at the start: what is missing is tried a few times, what does not answer for a minute."""

import threading
from typing import Any

import pytest

from processor.aws.errors import Misconfigured, NoCredentials, NotFound, Transient
from processor.settings import SettingsError
from processor.startup_checks import StartError, retry_at_start, wrong_key

THROTTLED = Transient("DescribeTable", "ThrottlingException")
MISSING = NotFound("DescribeTable", "ResourceNotFoundException")


class World:
    """A clock that only waits move, and a call that fails by plan."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.now = 0.0
        self.waits: list[float] = []

    def start(self) -> str:
        stop: Any = self
        return retry_at_start("the table", stop, self.attempt, monotonic=self.monotonic)

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


def test_throttling_is_outlasted_for_a_minute_with_growing_waits() -> None:
    world = World(*[THROTTLED] * 9)
    assert world.start() == "answer"
    longest = [0.5, 1, 2, 4, 8, 8, 8, 8, 8]
    assert all(most / 2 <= wait <= most for wait, most in zip(world.waits, longest, strict=True))


def test_after_a_minute_of_no_answer_the_start_fails() -> None:
    world = World(*[THROTTLED] * 99)
    with pytest.raises(
        StartError, match=r"^the table cannot be reached \(DescribeTable: ThrottlingException\)$"
    ):
        world.start()
    assert 50 <= world.now <= 60


def test_what_is_missing_five_times_fails_the_start_whatever_came_between() -> None:
    world = World(*[MISSING, THROTTLED] * 4, MISSING)
    with pytest.raises(StartError, match=r"^the table does not exist in this region and account"):
        world.start()
    assert world.errors == []
    world = World(*[MISSING] * 4)
    assert world.start() == "answer"


def test_a_call_that_is_refused_is_not_repeated() -> None:
    world = World(Misconfigured("DescribeTable", "AccessDeniedException"))
    with pytest.raises(Misconfigured):
        world.start()
    assert world.waits == []


@pytest.mark.parametrize("code", ["NoCredentialsError", "PartialCredentialsError"])
def test_without_credentials_a_setting_is_named_at_once(code: str) -> None:
    world = World(NoCredentials("DescribeTable", code))
    with pytest.raises(SettingsError) as refused:
        world.start()
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
        retry_at_start("the table", stop, world.attempt)


@pytest.mark.parametrize(
    ("attributes", "keys", "found"),
    [
        ({"requestId": "S"}, {"requestId": "HASH"}, None),
        ({"requestId": "N"}, {"requestId": "HASH"}, "requestId (N)"),
        ({"id": "S"}, {"id": "HASH"}, "id (S)"),
        ({"requestId": "S", "at": "N"}, {"requestId": "HASH", "at": "RANGE"}, "requestId (S), at (N)"),
    ],
    ids=str,
)
def test_a_table_s_key_is_one_partition_key_of_type_s(
    attributes: dict[str, str], keys: dict[str, str], found: str | None
) -> None:
    description = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()
        ],
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
    }
    assert wrong_key(description, "requestId") == found
