"""Makes the sinks that `EXPORT_AUDIT_SINKS` names."""

from datetime import UTC, datetime

from processor.audit.sinks.base import Sink
from processor.audit.sinks.kinesis import KinesisSink
from processor.audit.sinks.log import LogSink
from processor.aws.clients import Aws
from processor.observability.log import stdout_lines
from processor.settings import Settings


def make_sink(name: str, settings: Settings, aws: Aws) -> Sink:
    """The sink with a name from `EXPORT_AUDIT_SINKS`.

    Args:
        name: one of `SINK_NAMES`.
        settings: names the audit stream.
        aws: the clients.

    Raises:
        SettingsError: if a setting that this sink needs is missing.
        ValueError: if no sink has this name.
    """
    match name:
        case "log":
            return LogSink(stdout_lines(), lambda: datetime.now(UTC))
        case "kinesis":
            stream = settings.required_audit_stream()
            return KinesisSink(aws.kinesis(), stream, buckets=settings.audit_buckets)
        case _:
            raise ValueError(f"no audit sink is called {name!r}")
