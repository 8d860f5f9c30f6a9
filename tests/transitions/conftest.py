"""A fresh status table on each engine, a clock, and what was logged."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from processor.localaws.embedded_aws import EmbeddedAws
from tests.resources import ClientFactory, status_table
from tests.transitions.rig import Clock, Store
from tests.transitions.running import Make, Run, Running, running


@pytest.fixture(params=["moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)])
def store(request: pytest.FixtureRequest) -> Store:
    """A fresh table; the emulators delete nothing from it."""
    if request.param == "moto":
        embedded: EmbeddedAws = request.getfixturevalue("embedded_aws")
        factory: ClientFactory = embedded.client
    else:
        clients: Callable[[str], ClientFactory] = request.getfixturevalue("clients")
        factory = clients(request.getfixturevalue("dynamodb_local"))
    # moto's PartiQL does not do conditions.
    modes = ("single",) if request.param == "moto" else ("single", "batch")
    return Store(factory, status_table(factory, stream=False), modes)


@pytest.fixture
def clock() -> Clock:
    return Clock(60)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The log lines of the test, DEBUG among them, as dictionaries."""
    structlog.reset_defaults()
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        yield lines
    logging.getLogger().setLevel(level)


@pytest.fixture
def make(embedded_aws: EmbeddedAws, tmp_path: Path) -> Make:
    """Makes pipelines; see `Running`."""
    return partial(Running, embedded_aws, tmp_path)


@pytest.fixture
def run(make: Make) -> Run:
    """Runs pipelines; see `running`."""
    return partial(running, make)
