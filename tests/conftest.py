"""Fixtures that every test may ask for: the emulators, each started once, and clients for them."""

import functools
from collections.abc import Callable, Iterator

import pytest

from processor.embedded.clients import emulator_client
from processor.embedded.embedded_aws import EmbeddedAws
from tests.resources import ClientFactory


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
