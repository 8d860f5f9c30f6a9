"""EXPORT_FAST_CALLS: which way the calls of the daily work take, and the proof that `auto` wants first."""

import functools
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import botocore.exceptions as bc
from botocore.credentials import ReadOnlyCredentials
from botocore.httpsession import create_urllib3_context, get_cert_path
from botocore.utils import get_environ_proxies

from processor.aws.calls import translate
from processor.aws.errors import Transient
from processor.aws.fast_calls import FastCalls
from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics
from processor.settings import Settings

FIRST_PAUSE_SECONDS = 5.0  # after a proof without an answer, then doubled
MAX_PAUSE_SECONDS = 300.0
NEW_CLIENTS_SECONDS = 1.0  # between two looks for new clients
_BOTO3 = "calls take boto3's own way, which costs more CPU"

Proof = tuple[str, Mapping[str, Any]]
"""A client's method and its arguments: a call that changes nothing, and whose answer does not change."""


def proofs(settings: Settings) -> dict[str, Proof]:
    """The call that proves the shorter way, by the client's name in `Aws`."""
    export, lease = {"requestId": {"S": "start-up-check"}}, {"leaseKey": {"S": "start-up-check"}}
    found: dict[str, Proof] = {
        "dynamodb": ("batch_get_item", {"RequestItems": {settings.table: {"Keys": [export]}}}),
        "leases": ("get_item", {"TableName": settings.leases_table, "Key": lease}),
        "streams": ("list_streams", {"TableName": settings.table, "Limit": 1}),
    }
    url = settings.queue_url or settings.dlq_url
    if url:
        attributes: Proof = ("get_queue_attributes", {"QueueUrl": url, "AttributeNames": ["QueueArn"]})
        found |= {"receiving": attributes, "settling": attributes}
    if settings.audit_stream:
        found["kinesis"] = ("describe_stream_summary", {"StreamName": settings.audit_stream})
    return found


class FastChoice:
    """Decides which way the clients' calls take.

    `auto` makes one call of each client both ways. The client takes the shorter way once both answers or
    error codes are the same. After one difference all clients take boto3's own way for good. A
    proof that AWS does not answer is repeated later.

    Args:
        mode: `auto`, `on` or `off`.
        proofs: see `proofs`; a client without one takes the shorter way only in mode `on`.
        metrics, health: show which way is used.
        back_off: the pauses after proofs without an answer.
    """

    def __init__(
        self,
        mode: str,
        proofs: Mapping[str, Proof],
        metrics: Metrics,
        health: Health,
        back_off: BackOff | None = None,
    ) -> None:
        self._mode = mode
        self._proofs = proofs
        self._metrics = metrics
        self._health = health
        self._back_off = back_off or BackOff(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        self._ways: dict[str, FastCalls] = {}

    def add(
        self,
        name: str,
        client: Any,
        credentials: Callable[[], ReadOnlyCredentials | None],
        ca_bundle: str | None,
    ) -> None:
        """Prepares the shorter way of a new client; `on` sets it on at once.

        Args:
            name: the client's name in `Aws`.
            client: the client; it makes one attempt a call.
            credentials: returns its credentials, refreshed if due.
            ca_bundle: a file of trusted authorities; None: AWS's own.
        """
        if self._mode == "off":
            return
        problem = _missing_ability(client)
        if problem:
            self._off(problem)
            return
        try:
            tls = _tls_context(ca_bundle)
        except OSError:
            self._off("the CA bundle cannot be read")
            return
        way = FastCalls(client, credentials, tls)
        self._ways = {**self._ways, name: way}
        if self._mode == "on":
            self._set_on(name, way)

    def step(self) -> float | None:
        """Proves the clients that are new or were not answered; returns when to look again (seconds), None if
        that is never. A client that AWS does not answer holds no other up."""
        silent: Transient | None = None
        for name, way in self._ways.items():
            if self._mode != "auto":
                break
            if way.enabled or name not in self._proofs:
                continue
            try:
                own = _outcome(way.client, *self._proofs[name])
                with way.trial():
                    short = _outcome(way.client, *self._proofs[name])
            except Transient as unanswered:
                silent = silent or unanswered
                continue
            if own == short:
                self._set_on(name, way)
            else:
                self._off(f"{name}: both ways answer {self._proofs[name][0]} differently")
        if silent is not None and self._mode == "auto":
            if not self._back_off.failures:
                get_logger().info("fast_calls_undecided", error=str(silent), consequence=_BOTO3)
                self._health.report("fast calls", "off: AWS does not answer the proof")
            return self._back_off.failed()
        return None if self._mode != "auto" else NEW_CLIENTS_SECONDS

    def _set_on(self, name: str, way: FastCalls) -> None:
        way.enabled = True
        get_logger().info("fast_calls_on", client=name)
        self._metrics.gauge(Metric.FAST_CALLS, sum(each.enabled for each in self._ways.values()))
        if self._back_off.failures:
            self._back_off.worked()
            self._health.report("fast calls", None)

    def _off(self, problem: str) -> None:
        self._mode = "off"  # for the clients to come, and for good
        for way in self._ways.values():
            way.enabled = False
        get_logger().warning("fast_calls_off", problem=problem, consequence=_BOTO3)
        self._metrics.gauge(Metric.FAST_CALLS, 0)
        self._health.report("fast calls", f"off: {problem}")


@functools.cache
def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    """Checks certificates as botocore does, which leaves the check of the host's name to urllib3."""
    context: ssl.SSLContext = create_urllib3_context()
    context.check_hostname = True
    context.load_verify_locations(ca_bundle or get_cert_path(True))
    return context


def _missing_ability(client: Any) -> str | None:
    """What the environment asks of a client that the shorter way does not do."""
    config, url = client.meta.config, client.meta.endpoint_url
    if config.proxies or get_environ_proxies(url).get(url.partition(":")[0]):
        return "a proxy is configured"
    if config.signature_version != "v4" or config.auth_scheme_preference:
        return "another signature than SigV4 is configured"
    if config.client_cert:
        return "a client certificate is configured"
    if client.meta.service_model.resolved_protocol != "json":
        return "botocore speaks another protocol than JSON"
    return None


def _outcome(client: Any, method: str, arguments: Mapping[str, Any]) -> Any:
    """What an answer holds, or an error's type and code.

    Raises:
        Transient: if there is no answer, or AWS throttles.
    """
    try:
        answer = getattr(client, method)(**arguments)
    except Exception as error:  # noqa: BLE001 - a defect of one way is a difference
        known = translate(error, method)
        if isinstance(error, bc.ClientError | bc.BotoCoreError) and isinstance(known, Transient):
            raise known from None
        return type(error).__name__, known.code
    return answer | {"ResponseMetadata": answer["ResponseMetadata"]["HTTPStatusCode"]}
