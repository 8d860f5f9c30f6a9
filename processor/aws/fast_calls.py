"""A shorter way for the calls of the daily work, inside boto3's clients of the JSON protocols.

boto3 makes clients, credentials and endpoints. Before it signs and sends, botocore emits `before-call` and
accepts the answer of a handler. This handler builds the body, signs, sends and reads.
What it cannot do it leaves to boto3, but only before it sends: no request is sent twice.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from ssl import SSLContext
from types import GenericAlias
from typing import Any, TypedDict
from urllib.parse import urlsplit

import msgspec
from botocore.awsrequest import AWSResponse
from botocore.credentials import ReadOnlyCredentials
from botocore.parsers import create_parser
from msgspec.json import Decoder

from processor.aws.http_connections import Connections, HttpAnswer
from processor.aws.signature import authorization

# A proxy may change the first one, and AWS asks for the second one to be left out.
_UNSIGNED = ("user-agent", "x-amzn-trace-id")
_PARAMS = "export_status_params"  # where a request's context keeps what botocore's serializer does not see
_SCALARS = {"string": str, "blob": bytes, "boolean": bool, "integer": int, "long": int, "double": Any}
_encode = msgspec.json.Encoder().encode


class _AttributeValue(TypedDict, total=False):
    S: str
    N: str
    B: bytes
    SS: list[str]
    NS: list[str]
    BS: list[bytes]
    M: "dict[str, _AttributeValue]"
    L: "list[_AttributeValue]"
    NULL: bool
    BOOL: bool


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
        self._credentials = credentials
        self._tls = tls
        self._parser = create_parser("json")
        self._targets: dict[str, tuple[Connections, str, str]] = {}
        self._events.register_last(f"before-call.{self._service_id}", self._answer)
        self._events.register(f"provide-client-params.{self._service_id}", self._keep_params)
        resolver = getattr(client, "_ruleset_resolver", None)  # botocore has no public way
        if resolver:
            resolver.construct_endpoint = self._once_each(resolver.construct_endpoint)

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

    def _keep_params(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> Any:
        """Leaves botocore's serializer nothing to do: it would take a third of a call's time. In JSON, bytes
        become base64 as there; no call of the service holds times."""
        if not self._is_on:
            return None
        context[_PARAMS] = params
        return {}

    def _once_each(self, construct_endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """Resolves the endpoint of each operation once: a service has one table of a kind, and no ARNs."""
        found: dict[str, Any] = {}

        def construct(operation_model: Any, call_args: Any, request_context: Any) -> Any:
            given = request_context.get(_PARAMS)
            if given is None:
                return construct_endpoint(operation_model, call_args, request_context)
            if operation_model.name not in found:
                found[operation_model.name] = construct_endpoint(operation_model, given, request_context)
            return found[operation_model.name]

        return construct

    def _answer(
        self, model: Any, params: dict[str, Any], request_signer: Any, context: dict[str, Any], **_: Any
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        """Answers a call in place of botocore; None leaves it to botocore, and nothing was sent."""
        if _PARAMS in context:
            params["body"] = _encode(context[_PARAMS])
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
        headers = {name.lower(): value for name, value in params["headers"].items()}
        unsigned = {name: headers.pop(name) for name in _UNSIGNED if name in headers}
        headers["host"] = host
        headers["x-amz-date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        headers["authorization"] = authorization(credentials, place, headers, body, path=path)
        headers |= unsigned | {"accept-encoding": "identity", "content-length": str(len(body))}
        lines = [f"POST {path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()], "", ""]
        head = "\r\n".join(lines)
        if head.count("\n") != len(lines) - 1:  # a value with a line end, which botocore refuses
            return None
        answer = connections.exchange(head.encode() + body)
        answered_headers: Any = answer.headers
        return AWSResponse(url, answer.status, answered_headers, None), self._read(model, answer)

    def _target(self, url: str) -> tuple[Connections, str, str]:
        parts, config = urlsplit(url), self.client.meta.config
        connections = Connections(url, self._tls, config.connect_timeout, config.read_timeout)
        return self._targets.setdefault(url, (connections, parts.netloc, parts.path or "/"))

    def _read(self, model: Any, answer: HttpAnswer) -> dict[str, Any]:
        parsed: dict[str, Any] | None = None
        decoder = _decoder(model)
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


@cache
def _decoder(model: Any) -> Decoder[Any] | None:
    """Reads the answers of an operation; None where botocore and its handlers must."""
    with suppress(KeyError):
        if model.output_shape and model.name != "GetRecords":
            return Decoder(_type_of(model.output_shape))
    return None


def _type_of(shape: Any) -> Any:
    """The type in which msgspec reads what botocore's model of a service describes.

    Raises:
        KeyError: if it holds times, which boto3 returns as `datetime`.
    """
    if shape.name == "AttributeValue":
        return _AttributeValue  # it holds itself
    match shape.type_name:
        case "structure":
            make: Any = TypedDict
            members = {name: _type_of(member) for name, member in shape.members.items()}
            return make(shape.name, members, total=False)
        case "list":
            return GenericAlias(list, _type_of(shape.member))
        case "map":
            return GenericAlias(dict, (str, _type_of(shape.value)))
        case scalar:
            return _SCALARS[scalar]
