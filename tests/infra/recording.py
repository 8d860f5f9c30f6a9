"""A proxy on loopback that notes each AWS call before it hands it on: its IAM action and what it is about."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.proxy import Answer, Request, Upstream, proxy

KINESIS = "Kinesis_20131202"
CLOUDWATCH = "GraniteServiceVersion20100801"
PREFIXES = {
    "AmazonSQS": "sqs",
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodb",
    KINESIS: "kinesis",
    CLOUDWATCH: "cloudwatch",
}
# The batch calls come under the single actions ("Amazon SQS API permissions").
SQS_BATCHES = {
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "SendMessageBatch": "SendMessage",
}
PARTIQL_TABLE = re.compile(r'^\s*(\w+)\s+(?:INTO\s+|FROM\s+)?"([^"]+)"', re.IGNORECASE)

Permission = tuple[str, str]
"""An IAM action and the name of the queue, table, stream or table's stream that it is needed on."""


class Recording:
    """What has been called. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._permissions: set[Permission] = set()
        self._read_stream = ""  # a GetRecords of Kinesis names nothing but an iterator of this one

    @property
    def permissions(self) -> set[Permission]:
        """Every permission that the calls so far needed."""
        with self._lock:
            return set(self._permissions)

    def note(self, target: str, body: Mapping[str, Any]) -> None:
        """Notes one call.

        Args:
            target: the header X-Amz-Target, such as `DynamoDB_20120810.UpdateItem`.
            body: the request's JSON.
        """
        api, _, operation = target.partition(".")
        with self._lock:
            if api == KINESIS and operation == "GetShardIterator":
                self._read_stream = body["StreamName"]
            read_stream = self._read_stream
        needed = {
            (f"{PREFIXES[api]}:{action}", resource)
            for action, resource in _actions(api, operation, body, read_stream)
        }
        with self._lock:
            self._permissions |= needed


def _actions(api: str, operation: str, body: Mapping[str, Any], read_stream: str) -> Iterator[Permission]:
    match api:
        case "AmazonSQS":
            name = body.get("QueueName") or str(body["QueueUrl"]).rpartition("/")[2]
            yield SQS_BATCHES.get(operation, operation), name
        case "DynamoDBStreams_20120810" if operation == "ListStreams":
            yield operation, "*"
        case _ if api == CLOUDWATCH:
            yield operation, "*"
        case "DynamoDBStreams_20120810":
            yield operation, "the table's stream"  # GetRecords names nothing but an iterator
        case "DynamoDB_20120810" if "Statements" in body:
            for each in body["Statements"]:
                found = PARTIQL_TABLE.match(each["Statement"])
                assert found is not None, "a PartiQL statement that is not understood"
                yield f"PartiQL{found[1].capitalize()}", found[2]
        case "DynamoDB_20120810":
            for table in body.get("RequestItems") or [body["TableName"]]:
                yield operation, table
        case _:
            yield operation, body.get("StreamName", read_stream)


@contextmanager
def recording_proxy(endpoint_url: str) -> Iterator[tuple[str, Recording]]:
    """A proxy that notes every call and forwards it: its endpoint URL, and what it has recorded."""
    recording = Recording()

    def record(request: Request, upstream: Upstream) -> Answer:
        recording.note(request.target, json.loads(request.body))
        return upstream.ask(request)

    with proxy(endpoint_url, record) as url:
        yield url, recording
