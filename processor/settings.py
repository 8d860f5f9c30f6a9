"""The only reader of the environment: settings checked once, frozen, with one-line errors."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from handlers.export import DEFAULT_TTL_SECONDS

SINK_NAMES = ("log", "kinesis")
MAX_TTL_SECONDS = 31_536_000  # a year
MAX_POLL_SECONDS = 20  # SQS long polling, "ReceiveMessage"
DEFAULT_HEALTH_FILE = "/tmp/export-status.health"  # noqa: S108 - the contract's path, one service a container
_DOTENV = ".env"
_ENVIRONMENT_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
ENDPOINT_FIELDS = {
    "sqs": "endpoint_url_sqs",
    "dynamodb": "endpoint_url_dynamodb",
    "dynamodbstreams": "endpoint_url_dynamodb_streams",
    "kinesis": "endpoint_url_kinesis",
}  # by service, as boto3 names it


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one line that names the variable and the rule."""


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """Where AWS is and who we are there. None leaves the choice to botocore (role, profile, files)."""

    region: str | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)  # by service, as boto3 names it
    endpoint_url: str | None = None  # of every other service
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None


def _sinks(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names or any(name not in SINK_NAMES for name in names):
        raise ValueError("must be log, kinesis, or both separated by a comma")
    return names


def _url(value: str) -> str:
    rule = "must be an http or https URL without a query"
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
        raise ValueError(rule)
    try:
        urlsplit(value).port  # noqa: B018 - reading it is what finds a port that is no number
    except ValueError:
        raise ValueError(rule) from None
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", value):
        raise ValueError("must be a name of letters, digits, '_', '-' and '.', at most 255 characters")
    return value


def _region(value: str) -> str:
    # It becomes a part of host names.
    if len(value) > 32 or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise ValueError("must be an AWS region such as us-east-1")
    return value


def _file(value: str) -> str:
    if value.endswith("/") or not Path(value).name or os.path.isdir(value):
        raise ValueError("must be the path of a file, not of a folder")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_name)]
Region = Annotated[str, AfterValidator(_region)]
Url = Annotated[str, AfterValidator(_url)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]


class Settings(BaseSettings):
    """Every setting of the contract, read once. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_file=_DOTENV,
        env_file_encoding="utf-8",
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        env_ignore_empty=True,
        validate_default=False,
        use_attribute_docstrings=True,
    )

    table: Name = Field("export-status", validation_alias="DYNAMODB_EXPORT_STATUS_TABLE")
    """The status table."""
    leases_table: Name = Field("export-status-leases", validation_alias="DYNAMODB_EXPORT_LEASES_TABLE")
    """The table of shard leases and checkpoints; partition key `leaseKey` (S)."""
    queue_url: Url | None = Field(None, validation_alias="SQS_EXPORT_EVENTS_QUEUE_URL")
    """The event queue, FIFO if it ends in `.fifo`; required by `run`, `check`, `publish`, `dlq`, but not by
    `run --only audit`."""
    dlq_url: Url | None = Field(None, validation_alias="SQS_EXPORT_EVENTS_DLQ_URL")
    """The queue for rejected events and refused audit entries; else the one in the event queue's redrive
    policy."""
    audit_sinks: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_sinks)] = Field(
        ("log",), validation_alias="EXPORT_AUDIT_SINKS"
    )
    """Where audit entries go: `log`, `kinesis`, or both separated by a comma."""
    audit_stream: Name | None = Field(None, validation_alias="KINESIS_EXPORT_AUDIT_STREAM")
    """The audit stream's name; required by the sink `kinesis` and by `audit tail`."""
    ttl_seconds: int = Field(
        DEFAULT_TTL_SECONDS, ge=1, le=MAX_TTL_SECONDS, validation_alias="EXPORT_STATUS_TTL_SECONDS"
    )
    """How long an export lives after its request (seconds)."""
    receivers: int = Field(8, ge=1, le=64, validation_alias="EXPORT_RECEIVERS")
    """Most threads that receive events."""
    linger_seconds: float = Field(0.2, ge=0, le=5, validation_alias="EXPORT_LINGER_SECONDS")
    """Seconds that an event may wait for others so that calls are saved; 0: not at all."""
    service_name: Name = Field("export-status", validation_alias="EXPORT_SERVICE_NAME")
    """The metrics' dimension `Service`; two deployments in one account differ in it."""
    write_mode: Literal["auto", "batch", "single"] = Field("auto", validation_alias="EXPORT_WRITE_MODE")
    """`batch` writes with PartiQL batches, `single` with UpdateItem; `auto` tries whether the table supports
    conditional batches."""
    fast_calls: Literal["auto", "on", "off"] = Field("auto", validation_alias="EXPORT_FAST_CALLS")
    """Whether the calls of the daily work take the service's shorter way inside boto3; `auto` compares both
    ways first."""
    drain_seconds: int = Field(25, ge=10, le=3_600, validation_alias="EXPORT_DRAIN_SECONDS")
    """The budget from SIGTERM to the exit (seconds)."""
    audit_readers: int = Field(8, ge=1, le=64, validation_alias="EXPORT_AUDIT_READERS")
    """Threads that read shards, whatever their number."""
    audit_buckets: int = Field(16, ge=1, le=256, validation_alias="EXPORT_AUDIT_BUCKETS")
    """Partition keys that Kinesis entries are spread over."""
    lease_failover_seconds: int = Field(10, ge=2, le=600, validation_alias="EXPORT_LEASE_FAILOVER_SECONDS")
    """Other tasks may acquire a lease that was not renewed for this time (seconds)."""
    metrics_seconds: int = Field(60, ge=0, le=3_600, validation_alias="EXPORT_METRICS_SECONDS")
    """The interval of the metrics line (seconds); 0: no metrics."""
    health_file: Annotated[Path, BeforeValidator(_file)] = Field(
        Path(DEFAULT_HEALTH_FILE), validation_alias="EXPORT_HEALTH_FILE"
    )
    """The file that `healthcheck` reads."""
    log_level: LogLevel = Field("INFO", validation_alias="LOG_LEVEL")
    """The lowest level that is written; `DEBUG` shows every outcome."""
    log_format: Literal["json", "console"] | None = Field(None, validation_alias="LOG_FORMAT")
    """JSON lines, or text for people; else `console` on a terminal and `json` elsewhere."""
    region: Region | None = Field(None, validation_alias="AWS_REGION")
    """The region; wins over `AWS_DEFAULT_REGION` and the profile's."""
    endpoint_url: Url | None = Field(None, validation_alias="AWS_ENDPOINT_URL")
    """The endpoint of all services, for emulators; else AWS's own."""
    endpoint_url_sqs: Url | None = Field(None, validation_alias="AWS_ENDPOINT_URL_SQS")
    """The endpoint of SQS."""
    endpoint_url_dynamodb: Url | None = Field(None, validation_alias="AWS_ENDPOINT_URL_DYNAMODB")
    """The endpoint of DynamoDB."""
    endpoint_url_dynamodb_streams: Url | None = Field(
        None, validation_alias="AWS_ENDPOINT_URL_DYNAMODB_STREAMS"
    )
    """The endpoint of DynamoDB Streams."""
    endpoint_url_kinesis: Url | None = Field(None, validation_alias="AWS_ENDPOINT_URL_KINESIS")
    """The endpoint of Kinesis."""

    @property
    def poll_seconds(self) -> int:
        """How long one receive waits, so that the drain budget always outlasts an open poll."""
        return min(MAX_POLL_SECONDS, self.drain_seconds - 5)

    def required_queue_url(self) -> str:
        """The event queue's URL.

        Raises:
            SettingsError: if it is not set.
        """
        if self.queue_url is None:
            raise SettingsError("SQS_EXPORT_EVENTS_QUEUE_URL must be set to the URL of the event queue")
        return self.queue_url

    def required_audit_stream(self) -> str:
        """The audit stream's name.

        Raises:
            SettingsError: if it is not set.
        """
        if self.audit_stream is None:
            raise SettingsError("KINESIS_EXPORT_AUDIT_STREAM must be set to the audit stream's name")
        return self.audit_stream

    def for_log(self) -> dict[str, object]:
        """The settings as the start line shows them, by variable, none of them secret."""
        shown: dict[str, object] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            shown[str(info.validation_alias)] = str(value) if isinstance(value, Path) else value
        return shown


def load_settings() -> Settings:
    """Reads the environment and, for what it leaves out, `.env` in the working directory.

    Raises:
        SettingsError: for the first setting that is wrong.
    """
    _dotenv()
    try:
        return Settings()
    except ValidationError as wrong:
        raise SettingsError(_sentence(wrong.errors()[0])) from None


def load_aws_settings(settings: Settings) -> AwsSettings:
    """Who we are on AWS: `.env` counts only as a whole, and only where the environment offers nothing.

    Raises:
        SettingsError: if half of a key pair is missing.
    """
    endpoints: dict[str, str] = {}
    endpoint_url = None
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        endpoint_url = settings.endpoint_url
        for service, field_name in ENDPOINT_FIELDS.items():
            url = getattr(settings, field_name) or endpoint_url
            if url:
                endpoints[service] = url
    region = settings.region or _default_region()
    _require_pair(os.environ)
    if any(os.environ.get(name) for name in _ENVIRONMENT_CREDENTIALS):
        return AwsSettings(region=region, endpoints=endpoints, endpoint_url=endpoint_url)
    file = _dotenv()
    _require_pair(file)
    return AwsSettings(
        region=region,
        endpoints=endpoints,
        endpoint_url=endpoint_url,
        access_key_id=file.get("AWS_ACCESS_KEY_ID"),
        secret_access_key=file.get("AWS_SECRET_ACCESS_KEY"),
        session_token=file.get("AWS_SESSION_TOKEN") if "AWS_ACCESS_KEY_ID" in file else None,
        profile=None if "AWS_ACCESS_KEY_ID" in file else file.get("AWS_PROFILE"),
    )


def _default_region() -> str | None:
    name = "AWS_DEFAULT_REGION"
    try:
        return _region(os.environ[name]) if os.environ.get(name) else None
    except ValueError as wrong:
        raise SettingsError(f"{name} {wrong}") from None


def health_file() -> Path:
    """The health file's path alone, for a health check that needs no other setting.

    Raises:
        SettingsError: if `.env` cannot be read.
    """
    value = os.environ.get("EXPORT_HEALTH_FILE") or _dotenv().get("EXPORT_HEALTH_FILE")
    return Path(value) if value else Path(Settings.model_fields["health_file"].default)


def _dotenv() -> dict[str, str]:
    try:
        if not Path(_DOTENV).is_file():
            return {}
        return {name: value for name, value in dotenv_values(_DOTENV, encoding="utf-8").items() if value}
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{_DOTENV} in the working directory must be a readable UTF-8 file") from None


def _require_pair(source: Mapping[str, str]) -> None:
    pair = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for present, absent in (pair, pair[::-1]):
        if source.get(present) and not source.get(absent):
            raise SettingsError(f"{absent} must be set together with {present}")


def _sentence(error: Mapping[str, Any]) -> str:
    variable = str(error["loc"][0])
    info = next(info for info in Settings.model_fields.values() if info.validation_alias == variable)
    match error["type"]:
        case "literal_error":
            rule = "must be " + str(error["ctx"]["expected"]).replace("'", "")
        case "value_error":
            rule = str(error["ctx"]["error"])
        case _:
            bounds = {
                name: getattr(m, name) for m in info.metadata for name in ("ge", "le") if hasattr(m, name)
            }
            kind = "whole number" if info.annotation is int else "number"
            rule = f"must be a {kind} from {bounds['ge']} to {bounds['le']}"
    return f"{variable} {rule}"
