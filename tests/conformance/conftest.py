"""Each test here runs on moto (the embedded AWS) and on DynamoDB Local, with the service's own clients."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from processor.aws.clients import Aws
from processor.aws.fast_choice import FastChoice
from processor.localaws.clients import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import AwsSettings
from processor.streams.api import Page, StreamApi
from processor.streams.leases.lease import Position
from tests.resources import ClientFactory
from tests.waiting import eventually

OWN_WAY = ", boto3's own way"
LOCAL = [pytest.param(f"dynamodb_local{way}", marks=pytest.mark.dynamodb_local) for way in ("", OWN_WAY)]


@dataclass(frozen=True, slots=True)
class Stand:
    """One engine: `clients` for what a test does by itself, `aws` for what the service does."""

    name: str
    clients: ClientFactory
    aws: Aws

    @property
    def is_real(self) -> bool:
        """Whether it is DynamoDB's own engine."""
        return self.name == "dynamodb_local"


@pytest.fixture(scope="session")
def stands(clients: Callable[[str], ClientFactory], request: pytest.FixtureRequest) -> Callable[[str], Stand]:
    """`stands("moto")`: an engine by name, each started only if a test asks for it."""
    made: dict[str, Stand] = {}

    def stand(name: str) -> Stand:
        if name not in made:
            if name.startswith("moto"):
                embedded: EmbeddedAws = request.getfixturevalue("embedded_aws")
                endpoint_url = embedded.endpoint_url
            else:
                endpoint_url = request.getfixturevalue("dynamodb_local")
            mode = "off" if name.endswith(OWN_WAY) else "on"
            engine = name.removesuffix(OWN_WAY)
            made[name] = Stand(engine, clients(endpoint_url), service_clients(endpoint_url, mode))
        return made[name]

    return stand


@pytest.fixture(params=["moto", f"moto{OWN_WAY}", *LOCAL])
def stand(request: pytest.FixtureRequest, stands: Callable[[str], Stand]) -> Stand:
    """Each engine in turn, on both ways of calling it."""
    return stands(request.param)


def service_clients(endpoint_url: str, fast_calls: str) -> Aws:
    """The service's clients for an emulator, with the credentials that own the tests' tables there."""
    return Aws(
        AwsSettings(
            region=REGION,
            endpoints=dict.fromkeys(("dynamodb", "dynamodbstreams", "sqs", "kinesis"), endpoint_url),
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
        ),
        fast_calls=FastChoice(fast_calls, {}, Metrics(), Health(Path(os.devnull), warn=print)),
    )


@pytest.fixture
def api(stand: Stand) -> StreamApi:
    """The streams, as the service reads them."""
    return StreamApi(stand.aws.streams())


@pytest.fixture
def stream(api: StreamApi, table: str) -> str:
    """The ARN of the only stream of the module's table."""
    ([arn], complete) = api.list_streams(table)
    assert complete
    return arn


def shard_of(api: StreamApi, stream: str) -> str:
    """The id of a stream's only shard, once it is listed."""
    [shard] = eventually(lambda: list(api.describe(stream).shards.values()))
    return shard.shard_id


def whole(api: StreamApi, stream: str, position: Position | None = None) -> Page:
    """The page behind a position, when the last record, a removal, has arrived in the stream."""
    shard_id = shard_of(api, stream)

    def page() -> Page | None:
        found = api.page(api.iterator(stream, shard_id, position or Position()))
        return found if found.records and found.records[-1]["eventName"] == "REMOVE" else None

    found = eventually(page)
    assert found is not None
    return found
