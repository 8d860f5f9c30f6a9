"""The simulated stream and leases table over HTTP on loopback, in AWS's JSON protocol, for real processes."""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from botocore.exceptions import ClientError, HTTPClientError

from tests.simulated_stream.client import SimulatedStreamsClient
from tests.simulated_stream.rows import SimulatedRows

SERVICES = {
    "DynamoDBStreams_20120810": "streams",
    "DynamoDB_20120810": "dynamodb",
    "AmazonSQS": "sqs",
    "Kinesis_20131202": "kinesis",
}


class StatusTable:
    """What the service asks of the status table itself: DescribeTable."""

    def describe_table(self, **arguments: Any) -> dict[str, Any]:
        """DescribeTable, with the key of docs/contract.md, section 1."""
        return {
            "Table": {
                "TableName": arguments["TableName"],
                "AttributeDefinitions": [{"AttributeName": "requestId", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "requestId", "KeyType": "HASH"}],
            }
        }


class Queues:
    """What the service asks of the dead-letter queue at its start: GetQueueAttributes."""

    def get_queue_attributes(self, **arguments: Any) -> dict[str, Any]:
        """GetQueueAttributes: every queue exists."""
        name = arguments["QueueUrl"].rpartition("/")[2]
        return {"Attributes": {"QueueArn": f"arn:aws:sqs:us-east-1:123456789012:{name}"}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A task that is killed in the middle of a call is no error of the server's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class SimulatedAws:
    """A context manager: one server for the stream, the rows and, if given, a queue and an audit stream."""

    def __init__(
        self,
        streams: SimulatedStreamsClient,
        rows: SimulatedRows,
        queue: object | None = None,
        kinesis: object | None = None,
    ) -> None:
        targets: dict[str, list[Any]] = {
            "streams": [streams],
            "dynamodb": [rows, StatusTable()],
            "sqs": [queue, Queues()],
            "kinesis": [kinesis],
        }
        self._server = _Server(("127.0.0.1", 0), _handler(targets))
        self._thread = threading.Thread(target=self._server.serve_forever, name="simulated-aws")

    @property
    def endpoint_url(self) -> str:
        """For `AWS_ENDPOINT_URL`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(targets: dict[str, list[Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """One API call."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            service, _, operation = self.headers["X-Amz-Target"].partition(".")
            method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
            try:
                able = [target for target in targets[SERVICES[service]] if hasattr(target, method)]
                self._answer(200, getattr(able[0], method)(**json.loads(body)))
            except ClientError as error:
                response: Any = error.response
                kind = {"__type": response["Error"]["Code"], "message": response["Error"]["Message"]}
                item = {"Item": response["Item"]} if "Item" in response else {}
                self._answer(response["ResponseMetadata"]["HTTPStatusCode"], kind | item)
            except HTTPClientError:
                self.close_connection = True  # the answer gets lost

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Nothing: the tests look at what happened."""

    return Handler
