"""Fixtures of the stream engine's tests."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.streams.world import World, watched


@pytest.fixture
def new_world() -> Iterator[Callable[[int], World]]:
    """`new_world(shards)`: a simulated world whose log lines are collected."""
    random.seed(1)  # jitter: the same at each run; `test_no_loss` looks at others
    with ExitStack() as worlds:
        yield lambda shards: worlds.enter_context(watched(World(shards=shards)))


@pytest.fixture
def world(new_world: Callable[[int], World]) -> World:
    """A world with one shard."""
    return new_world(1)
