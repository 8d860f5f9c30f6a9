"""One call on boto3's own way and on the shorter one, and what came of it."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpsession import create_urllib3_context

from processor.aws.clients import keep_raw_records, refuse_foreign_answers
from processor.aws.fast_calls import FastCalls
from processor.localaws.clients import ACCESS_KEY_ID, SECRET_ACCESS_KEY

WAYS = ("boto3", "short")
# Two answers to one call differ in these by nature.
_BY_NATURE = frozenset(
    {"date", "x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "x-amz-crc32", "RequestId"}
)
Outcome = tuple[str, Any]


@dataclass
class BothWays:
    """A client for each way, made as the service makes its own.

    Args:
        service: as boto3 names it.
        endpoint_url: where it is.
        ca_bundle: the authorities that it trusts.
        read_seconds, connect_seconds: its timeouts.
    """

    service: str
    endpoint_url: str
    ca_bundle: str | None = None
    read_seconds: float = 60.0
    connect_seconds: float = 60.0

    @cached_property
    def clients(self) -> dict[str, Any]:
        """By way."""
        return {way: self._client(way) for way in WAYS}

    def _client(self, way: str) -> Any:
        config = Config(
            connect_timeout=self.connect_seconds,
            read_timeout=self.read_seconds,
            retries={"mode": "standard", "total_max_attempts": 1},
            parameter_validation=False,
            user_agent="export-status",
        )
        session: Any = boto3.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, "token")
        client = session.client(
            self.service, "us-east-1", endpoint_url=self.endpoint_url, config=config, verify=self.ca_bundle
        )
        refuse_foreign_answers(client)
        if self.service == "dynamodbstreams":
            keep_raw_records(client)
        if way == "short":
            tls: ssl.SSLContext = create_urllib3_context()
            tls.check_hostname = True
            if self.ca_bundle:
                tls.load_verify_locations(self.ca_bundle)
            FastCalls(client, session.get_credentials().get_frozen_credentials, tls).enabled = True
        return client

    def call(self, way: str, method: str, arguments: Mapping[str, Any]) -> Outcome:
        """The answer or the exception of one way, without what differs by nature."""
        try:
            answer = getattr(self.clients[way], method)(**arguments)
        except ClientError as error:
            modelled = isinstance(error, self.clients[way].exceptions.ClientError)
            return type(error).__name__, (_comparable(error.response), _plain(str(error)), modelled)
        except Exception as error:  # noqa: BLE001 - whatever comes is compared
            return type(error).__name__, getattr(error, "kwargs", {}).get("endpoint_url")
        return "answer", _comparable(answer)


def _comparable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _comparable(each) for key, each in value.items() if key not in _BY_NATURE}
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    return value


def _plain(message: str) -> str:
    return re.sub(r"[0-9a-f-]{36}", "…", message)
