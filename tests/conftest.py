"""Fixtures that every test may ask for: the emulators, each started once, and clients for them."""

import functools
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from processor.localaws.clients import emulator_client
from processor.localaws.embedded_aws import EmbeddedAws
from tests.engines.dynamodb_local import DynamoDbLocal
from tests.engines.ministack import Ministack
from tests.engines.process import Engine
from tests.resources import ClientFactory

# How long an example takes says nothing here: machines that run these tests may be busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# What a shell starts in the background ignores Ctrl-C, and so would every process that tests send it to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def embedded_aws() -> Iterator[EmbeddedAws]:
    """The embedded AWS, shared by all tests. Expired items go within 0.2 s, where a table has TTL enabled."""
    with EmbeddedAws(reap_seconds=0.2) as aws:
        yield aws


@pytest.fixture(scope="session")
def clients() -> Callable[[str], ClientFactory]:
    """`clients(endpoint_url)("sqs")`: a boto3 client of an emulator. Each is made once."""

    @functools.cache
    def at(endpoint_url: str) -> ClientFactory:
        return functools.cache(functools.partial(emulator_client, endpoint_url=endpoint_url))

    return at


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[str]:
    """The endpoint URL of a DynamoDB Local. Tests that ask for it carry the mark `dynamodb_local`."""
    yield from _endpoint_of(DynamoDbLocal())


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The endpoint URL of a ministack without authorization."""
    yield from _endpoint_of(Ministack())


def _endpoint_of(engine: Engine) -> Iterator[str]:
    reason = engine.missing()
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with engine:
        yield engine.endpoint_url
