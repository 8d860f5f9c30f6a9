"""Each test here runs on moto (the embedded AWS) and on DynamoDB Local, with the service's own clients."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from processor.aws.clients import Aws
from processor.localaws.clients import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from processor.localaws.embedded_aws import EmbeddedAws
from processor.settings import AwsSettings
from tests.resources import ClientFactory

DYNAMODB_LOCAL = pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)


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
            if name == "moto":
                embedded: EmbeddedAws = request.getfixturevalue("embedded_aws")
                endpoint_url = embedded.endpoint_url
            else:
                endpoint_url = request.getfixturevalue("dynamodb_local")
            made[name] = Stand(name, clients(endpoint_url), service_clients(endpoint_url))
        return made[name]

    return stand


@pytest.fixture(params=["moto", DYNAMODB_LOCAL])
def stand(request: pytest.FixtureRequest, stands: Callable[[str], Stand]) -> Stand:
    """Each engine in turn."""
    return stands(request.param)


def service_clients(endpoint_url: str) -> Aws:
    """The service's clients for an emulator, with the credentials that own the tests' tables there."""
    return Aws(
        AwsSettings(
            region=REGION,
            endpoints=dict.fromkeys(("dynamodb", "dynamodbstreams", "sqs", "kinesis"), endpoint_url),
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
        )
    )
