"""The emulators behind a run: each for what it does right (tests/README.md has the table)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from processor.localaws.embedded_aws import EmbeddedAws
from tests.engines.dynamodb_local import DynamoDbLocal
from tests.engines.ministack import Ministack


@dataclass(frozen=True, slots=True)
class Backends:
    """Endpoint URLs: AWS's own engine for tables, ministack for queues, moto for Kinesis."""

    dynamodb: str
    sqs: str
    kinesis: str


@contextmanager
def backends() -> Iterator[Backends]:
    """Starts all three."""
    with ExitStack() as stack:
        dynamodb = stack.enter_context(DynamoDbLocal())
        sqs = stack.enter_context(Ministack())
        kinesis = stack.enter_context(EmbeddedAws())
        yield Backends(dynamodb.endpoint_url, sqs.endpoint_url, kinesis.endpoint_url)
