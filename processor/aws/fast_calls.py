"""A shorter way for the calls of the daily work, inside boto3's clients.

boto3 makes clients, credentials, endpoints and request bodies. Before it signs and sends, botocore emits
`before-call` and accepts the answer of a handler. This handler signs, sends and reads.
What it cannot do it leaves to boto3, but only before it sends: no request is sent twice.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import msgspec
from botocore.awsrequest import AWSResponse
from botocore.credentials import ReadOnlyCredentials
from botocore.parsers import create_parser

from processor.aws.answers import DECODERS
from processor.aws.http_connections import Connections, HttpAnswer
from processor.aws.signature import Signer

OPERATIONS = {
    "sqs": (
        "ReceiveMessage",
        "DeleteMessageBatch",
        "ChangeMessageVisibilityBatch",
        "SendMessageBatch",
        "GetQueueAttributes",
    ),
    "dynamodb": ("BatchExecuteStatement", "UpdateItem", "BatchGetItem", "GetItem", "PutItem", "DeleteItem"),
    "dynamodbstreams": ("GetRecords", "ListStreams"),
    "kinesis": ("PutRecords", "DescribeStreamSummary"),
}
"""The calls that take the shorter way, by service. One of each service's changes nothing: it is the proof."""

# A proxy may change the first one, and AWS asks for the second one to be left out.
_UNSIGNED = ("user-agent", "x-amzn-trace-id")
_BODY = "export_status_body"  # where a request's context keeps a body that botocore did not build
_encode = msgspec.json.Encoder().encode


class FastCalls:
    """The shorter way of one client, off until `enabled` is set. Safe for threads.

    Args:
        client: a boto3 client that makes one attempt a call.
        credentials: returns the credentials of this client, refreshed if due; None without any.
        tls: checks certificates.
    """

    def __init__(
        self, client: Any, credentials: Callable[[], ReadOnlyCredentials | None], tls: SSLContext
    ) -> None:
        self.client = client
        self.enabled = False
        self._trial: int | None = None  # the thread whose calls take the shorter way while it is not enabled
        self._events = client.meta.events
        self._service = client.meta.service_model
        self._service_id = self._service.service_id.hyphenize()
        self._config = client.meta.config
        self._credentials = credentials
        self._tls = tls
        self._parser = create_parser("json")
        self._signers: dict[tuple[str, str], Signer] = {}
        self._targets: dict[str, tuple[Connections, str, str]] = {}
        for operation in OPERATIONS[self._service.service_name]:
            self._events.register_last(f"before-call.{self._service_id}.{operation}", self._answer)
        self._events.register("provide-client-params.dynamodb.BatchExecuteStatement", self._build_body)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """The calls of this thread take the shorter way, those of other threads do not yet."""
        self._trial = threading.get_ident()
        try:
            yield
        finally:
            self._trial = None

    @property
    def _is_on(self) -> bool:
        return self.enabled or self._trial == threading.get_ident()

    def _build_body(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> Any:
        """Builds the body of a batch: botocore's serializer would take most of the call's time for it."""
        if not self._is_on:
            return None
        context[_BODY] = _encode(params)
        return {}

    def _answer(
        self, model: Any, params: dict[str, Any], request_signer: Any, context: dict[str, Any], **_: Any
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        """Answers a call in place of botocore; None leaves it to botocore, and nothing was sent."""
        if _BODY in context:
            params["body"] = context[_BODY]
        if not self._is_on or context.get("auth_type") not in (None, "v4"):
            return None
        credentials = self._credentials()
        if credentials is None:
            return None
        url: str = params["url"]
        connections, host, path = self._targets.get(url) or self._target(url)
        body: bytes = params["body"]
        signing = context.get("signing", {})
        place = (
            signing.get("region", request_signer.region_name),
            signing.get("signing_name", request_signer.signing_name),
        )
        signer = self._signers.get(place) or self._signers.setdefault(place, Signer(*place))
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {name.lower(): value for name, value in params["headers"].items()}
        unsigned = {name: headers.pop(name) for name in _UNSIGNED if name in headers}
        headers["host"] = host
        headers["x-amz-date"] = stamp
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        headers["authorization"] = signer.authorization(credentials, headers, body, stamp=stamp, path=path)
        headers |= unsigned
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(
            [
                f"POST {path} HTTP/1.1",
                *lines,
                "accept-encoding: identity",
                f"content-length: {len(body)}",
                "",
                "",
            ]
        )
        if head.count("\n") != len(lines) + 4:  # a value with a line end, which botocore refuses
            return None
        answer = connections.exchange(head.encode() + body)
        answered_headers: Any = answer.headers
        return AWSResponse(url, answer.status, answered_headers, None), self._read(model, answer)

    def _target(self, url: str) -> tuple[Connections, str, str]:
        parts = urlsplit(url)
        connections = Connections(url, self._tls, self._config.connect_timeout, self._config.read_timeout)
        return self._targets.setdefault(url, (connections, parts.netloc, parts.path or "/"))

    def _read(self, model: Any, answer: HttpAnswer) -> dict[str, Any]:
        parsed: dict[str, Any] | None = None
        decoder = DECODERS.get(model.name)
        if decoder and answer.status == 200 and answer.body.startswith(b"{"):
            with suppress(msgspec.MsgspecError):
                parsed = decoder.decode(answer.body)
        if parsed is None:
            parsed = self._parse(model, answer)
        else:
            metadata: dict[str, Any] = {"HTTPStatusCode": answer.status, "HTTPHeaders": answer.headers}
            if "x-amzn-requestid" in answer.headers:
                metadata["RequestId"] = answer.headers["x-amzn-requestid"]
            parsed["ResponseMetadata"] = metadata
        parsed["ResponseMetadata"] |= {"MaxAttemptsReached": True, "RetryAttempts": 0}
        return parsed

    def _parse(self, model: Any, answer: HttpAnswer) -> dict[str, Any]:
        """Reads an answer as `botocore.endpoint.Endpoint` does, with the handlers of `before-parse`."""
        response = {
            "headers": answer.headers,
            "status_code": answer.status,
            "body": answer.body,
            "context": {"operation_name": model.name},
        }
        customized: dict[str, Any] = {}
        self._events.emit(
            f"before-parse.{self._service_id}.{model.name}",
            operation_model=model,
            response_dict=response,
            customized_response_dict=customized,
        )
        parsed: dict[str, Any] = self._parser.parse(response, model.output_shape)
        parsed.update(customized)
        code = parsed.get("Error", {}).get("Code")
        if answer.status >= 300 and code is not None:
            shape = self._service.shape_for_error_code(code)
            if shape is not None:
                parsed.update(self._parser.parse(response, shape))
        return parsed
