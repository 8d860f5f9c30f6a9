"""What an execution environment of Lambda keeps between invocations, and what both functions share."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

from processor.aws.clients import Aws
from processor.observability.health import Health
from processor.observability.log import configure_logging, get_logger, stdout_lines
from processor.observability.metrics import Metrics, Part
from processor.settings import Settings, load_aws_settings, load_settings

Event = Mapping[str, Any]
Failures = dict[str, list[dict[str, str]]]


class Context(Protocol):
    """As much of Lambda's context object as is used."""

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""


Function = Callable[[Event, Context], Failures]


@dataclass(frozen=True, slots=True)
class Environment:
    """What one execution environment works with."""

    settings: Settings
    aws: Aws
    metrics: Metrics
    health: Health

    def write_metrics(self) -> None:
        """Writes an invocation's metrics line."""
        if self.settings.metrics_seconds:
            stdout_lines().write_log_line(self.metrics.flush(datetime.now(UTC)))


def prepare(part: Part) -> Environment:
    """Reads the settings, sets up the log and makes the clients.

    Args:
        part: which half the function is.

    Raises:
        SettingsError: if a setting is wrong.
    """
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format or "json")
    aws = Aws(load_aws_settings(settings))
    get_logger().info("service_starting", parts=(part.value,), region=aws.region, settings=settings.for_log())
    health = Health(settings.health_file, warn=lambda _problem: None)  # without its thread: no file
    return Environment(settings, aws, Metrics([part], settings.service_name), health)


def failures(identifiers: list[str]) -> Failures:
    """The answer that a mapping with ReportBatchItemFailures reads."""
    return {"batchItemFailures": [{"itemIdentifier": each} for each in identifiers]}


def entry_point(make: Callable[[Environment], Function], part: Part) -> Function:
    """The handler that Lambda calls. Its function is made once for each execution environment.

    In Lambda it is made while the environment starts, when more CPU is there; elsewhere by the first call.

    Args:
        make: makes the function.
        part: which half it is.
    """
    function = cache(lambda: make(prepare(part)))
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        function()

    def handler(event: Event, context: Context) -> Failures:
        return function()(event, context)

    return handler
