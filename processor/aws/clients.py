"""boto3 clients with explicit timeouts and retries."""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore.exceptions as bc
import botocore.session
from botocore.config import Config
from botocore.parsers import ResponseParserError

from processor.aws.fast_choice import FastChoice
from processor.aws.stream_records import read_answer
from processor.settings import AwsSettings, SettingsError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodbstreams import DynamoDBStreamsClient
    from types_boto3_kinesis import KinesisClient
    from types_boto3_sqs import SQSClient

CONNECT_SECONDS = 2
ANSWER_SECONDS = 5
WRITE_ANSWER_SECONDS = 3  # with CONNECT_SECONDS: one attempt of a status write ends within 5 s
SETTLE_ANSWER_SECONDS = 3  # a delete or a copy that is sent twice does no harm, a receiver that waits does
SETTLE_CALL_SECONDS = CONNECT_SECONDS + SETTLE_ANSWER_SECONDS  # one call at worst


class Aws:
    """Makes each client once; clients are thread-safe, making them is not, so that is under a lock.

    Args:
        settings: region, endpoints and credentials.
        threads: how many threads call at the same time; each pool has a connection for each.
        poll_seconds: how long a receive waits, for its read timeout.
        fast_calls: decides whether the clients of the service take a shorter way; None: boto3's own.

    Raises:
        SettingsError: if no region is known or the profile does not exist.
    """

    def __init__(
        self,
        settings: AwsSettings,
        *,
        threads: int = 8,
        poll_seconds: int = 20,
        fast_calls: FastChoice | None = None,
    ) -> None:
        self._core = botocore.session.Session()
        try:
            self._session = boto3.Session(
                botocore_session=self._core,
                region_name=settings.region,
                profile_name=settings.profile,
                aws_access_key_id=settings.access_key_id,
                aws_secret_access_key=settings.secret_access_key,
                aws_session_token=settings.session_token,
            )
        except (bc.ProfileNotFound, bc.ConfigParseError):
            raise SettingsError("AWS_PROFILE must name a profile of a readable AWS configuration") from None
        if not self._session.region_name:
            raise SettingsError("AWS_REGION must be set to the region of the table, such as us-east-1")
        self._settings = settings
        self._threads = threads
        self._poll_seconds = poll_seconds
        self._fast_calls = fast_calls
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The region in use."""
        return str(self._session.region_name)

    def receiving(self) -> "SQSClient":
        """SQS for ReceiveMessage: its read timeout outlasts a long poll. The receiver has its own retries."""
        return cast("SQSClient", self._client("receiving", "sqs", read=self._poll_seconds + 10))

    def settling(self) -> "SQSClient":
        """SQS for the short calls of the service. No retries inside: callers retry until a deadline."""
        return cast("SQSClient", self._client("settling", "sqs", read=SETTLE_ANSWER_SECONDS))

    def sqs(self) -> "SQSClient":
        """SQS for the operator's commands."""
        return cast("SQSClient", self._client("sqs", "sqs", attempts=3))

    def dynamodb(self) -> "DynamoDBClient":
        """DynamoDB for the status table. No retries inside: the caller reads the clock again before each
        attempt, so that no late retry writes an expired item."""
        return cast("DynamoDBClient", self._client("dynamodb", "dynamodb", read=WRITE_ANSWER_SECONDS))

    def leases(self) -> "DynamoDBClient":
        """DynamoDB for the leases table. No retries inside: a renewal without an answer must end while its
        lease can still be renewed, and the caller retries."""
        return cast("DynamoDBClient", self._client("leases", "dynamodb", read=WRITE_ANSWER_SECONDS))

    def streams(self) -> "DynamoDBStreamsClient":
        """DynamoDB Streams, its GetRecords records as DynamoDB's own JSON (see `keep_raw_records`)."""
        return cast("DynamoDBStreamsClient", self._client("streams", "dynamodbstreams"))

    def kinesis(self) -> "KinesisClient":
        """Kinesis, without retries inside: a retry must keep the order of a bucket."""
        return cast("KinesisClient", self._client("kinesis", "kinesis"))

    def other(self, service: str) -> Any:
        """A client of another service, for the operator's commands."""
        return self._client(f"other {service}", service, read=20, attempts=3)

    def _client(self, key: str, service: str, *, attempts: int = 1, read: int = ANSWER_SECONDS) -> Any:
        def find_or_make() -> Any:
            with self._lock:
                if key not in self._clients:
                    client = self._make(service, read, attempts)
                    refuse_foreign_answers(client)
                    if service == "dynamodbstreams":
                        keep_raw_records(client)
                    if attempts == 1 and self._fast_calls:
                        credentials: Any = self._session.get_credentials()
                        bundle = self._core.get_config_variable("ca_bundle")
                        self._fast_calls.add(
                            key,
                            client,
                            lambda: credentials and credentials.get_frozen_credentials(),
                            bundle or os.environ.get("REQUESTS_CA_BUNDLE"),
                        )
                    self._clients[key] = client
                return self._clients[key]

        try:
            return find_or_make()
        except bc.CredentialRetrievalError:  # from making it, which asks a container's endpoint
            return _ClientToCome(find_or_make)

    def _make(self, service: str, read_seconds: int, attempts: int) -> Any:
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"mode": "standard", "total_max_attempts": attempts},
            tcp_keepalive=True,
            max_pool_connections=self._threads + 8,  # renewals, scans and metrics come on top
            # Both cost CPU for each call, a sixth of all together: the parameters here are built by our own
            # code, and a whole user agent is not assembled for each call.
            parameter_validation=False,
            user_agent=f"export-status boto3/{boto3.__version__}",
        )
        make: Any = self._session.client
        endpoint_url = self._settings.endpoints.get(service, self._settings.endpoint_url)
        try:
            return make(service, endpoint_url=endpoint_url, config=config)
        except bc.CredentialRetrievalError:
            raise
        except (bc.BotoCoreError, ValueError) as wrong:  # ValueError: "Invalid endpoint"
            raise SettingsError(f"a setting of the AWS SDK is wrong: {wrong}") from None


class _ClientToCome:
    """Stands for a client that cannot be made before credentials are handed out: each call tries again."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        def method(**arguments: Any) -> Any:
            return getattr(self._make(), name)(**arguments)

        method.__name__ = name
        return method


def refuse_foreign_answers(client: Any) -> None:
    """Turns a success that AWS cannot have sent into a failure.

    botocore takes a page of HTML with status 200, as proxies send them, for an answer without members: a
    write would count as done. Error answers of that kind are left to their status.
    """
    is_json = client.meta.service_model.resolved_protocol == "json"

    def look(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        shape = operation_model.output_shape
        if shape is None:
            return
        if not is_json:  # XML: another document's root would be a KeyError in botocore
            wrapper = f"<{shape.serialization.get('resultWrapper', '')}".encode()
            if response_dict["status_code"] < 300 and wrapper not in response_dict["body"]:
                raise ResponseParserError("the answer is not this operation's")
            return
        if response_dict["body"].startswith(b"{"):
            return
        if response_dict["status_code"] < 300:
            raise ResponseParserError("the answer is no JSON object")
        response_dict["body"] = b""

    client.meta.events.register(f"before-parse.{client.meta.service_model.service_id.hyphenize()}", look)


def keep_raw_records(client: Any) -> None:
    """Lets GetRecords hand over the records as `stream_records.read_answer` reads them.

    botocore's parser walks the shape of every record, which costs many times what reading the JSON does.
    """

    def take_records(
        response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
    ) -> None:
        if response_dict["status_code"] != 200:
            return
        try:
            customized_response_dict.update(read_answer(response_dict["body"]))
        except ValueError as broken:
            raise ResponseParserError("the answer is not a JSON object") from broken
        response_dict["body"] = b"{}"

    client.meta.events.register("before-parse.dynamodb-streams.GetRecords", take_records)
