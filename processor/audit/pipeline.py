"""Composes the audit pipeline: start-up checks, sinks, quarantine and the stream consumer."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from processor.audit.delivery import Delivery
from processor.audit.quarantine import Quarantine
from processor.audit.removals import Removals
from processor.audit.sinks.base import Sink
from processor.audit.sinks.kinesis import KinesisSink
from processor.audit.sinks.log import LogSink
from processor.aws.clients import Aws
from processor.dead_letters import DeadLetterQueue
from processor.loops import Death, Loop, StopReport
from processor.observability.health import Health
from processor.observability.log import get_logger, stdout_lines
from processor.observability.metrics import Metrics
from processor.settings import Settings
from processor.startup_checks import (
    Unreachable,
    check_audit_stream,
    check_leases_table,
    check_table,
    dead_letter_url,
    read_queue,
)
from processor.streams.clocks import Clocks
from processor.streams.consumer import StreamConsumer
from processor.streams.context import ConsumerSettings, EngineContext


def build_consumer(
    streams: Any,
    leases: Any,
    settings: ConsumerSettings,
    *,
    sinks: Sequence[Sink],
    quarantine: Quarantine | None,
    metrics: Metrics,
    health: Health,
    on_death: Death,
    clocks: Clocks | None = None,
    runner: Callable[..., Loop] = Loop,
) -> StreamConsumer:
    """Composes the audit, for the service and for the simulated world of the tests.

    Args:
        streams: answers GetRecords with raw records.
        leases: for the leases table.
        settings: what is read, and how the work is shared.
        sinks: every one of them must have an entry before a checkpoint passes it.
        quarantine: for entries that a sink refuses; None: such an entry holds its shard.
        metrics, health: where it reports.
        on_death: called with the name and the error of a thread that ends unexpectedly.
        clocks: where all times come from.
        runner: makes the threads that repeat steps.
    """
    clocks = clocks or Clocks()
    removals = Removals(Delivery(sinks, quarantine, metrics, health, clocks.monotonic))
    context = EngineContext(
        streams, leases, settings, removals, metrics=metrics, health=health, clocks=clocks
    )
    return StreamConsumer(context, on_death, runner)


@dataclass(kw_only=True)
class AuditPart:
    """The audit half of the service. `start` once; `stop` and `join` at any time, also twice.

    Args:
        settings: the service's settings.
        aws: the clients.
        metrics, health: where it reports.
        on_death: called with the name and the error of a thread that ends unexpectedly.
        clocks: where all times come from.
        runner: makes the threads that repeat steps.
    """

    settings: Settings
    aws: Aws
    metrics: Metrics
    health: Health
    on_death: Death
    clocks: Clocks | None = None
    runner: Callable[..., Loop] = Loop
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _consumer: StreamConsumer | None = field(default=None, init=False)

    def start(self, cancelled: threading.Event) -> None:
        """Checks tables and stream, then starts to read.

        Args:
            cancelled: set when the service stops; nothing starts then.

        Raises:
            StartError: if a table or the audit stream is missing.
            SettingsError: if the settings cannot work.
        """
        settings, aws = self.settings, self.aws
        check_table(aws.dynamodb(), settings.table)
        check_leases_table(aws.leases(), settings.leases_table)
        sinks = open_sinks(settings, aws)
        self._consumer = build_consumer(
            aws.streams(),
            aws.leases(),
            ConsumerSettings(
                status_table=settings.table,
                leases_table=settings.leases_table,
                failover_seconds=settings.lease_failover_seconds,
                readers=settings.audit_readers,
            ),
            sinks=sinks,
            quarantine=open_quarantine(settings, aws, self._stopping),
            metrics=self.metrics,
            health=self.health,
            on_death=self.on_death,
            clocks=self.clocks,
            runner=self.runner,
        )
        if cancelled.is_set() or self._stopping.is_set():
            return
        self._consumer.start()
        get_logger().info("audit_started", sinks=settings.audit_sinks)

    def stop(self, deadline: float) -> None:
        """Asks for the end by a deadline on `time.monotonic()`, and returns at once."""
        self._stopping.set()
        if self._consumer:
            self._consumer.stop(deadline)

    def join(self) -> StopReport:
        """Waits for the end until the deadline. Clean: every thread ended and every lease was released."""
        return self._consumer.join() if self._consumer else StopReport(clean=True, hung=False)


def make_sink(name: str, settings: Settings, aws: Aws) -> Sink:
    """The sink with a name from `EXPORT_AUDIT_SINKS`.

    Args:
        name: one of `SINK_NAMES`.
        settings: names the audit stream.
        aws: the clients.

    Raises:
        SettingsError: if a setting that this sink needs is missing.
    """
    if name == "log":
        return LogSink(stdout_lines(), lambda: datetime.now(UTC))
    return KinesisSink(aws.kinesis(), settings.required_audit_stream(), buckets=settings.audit_buckets)


def open_sinks(settings: Settings, aws: Aws) -> list[Sink]:
    """The sinks of `EXPORT_AUDIT_SINKS`, once the audit stream is known to exist.

    Raises:
        StartError: if the audit stream is missing.
    """
    if "kinesis" in settings.audit_sinks:
        check_audit_stream(aws.kinesis(), settings.required_audit_stream())
    return [make_sink(name, settings, aws) for name in settings.audit_sinks]


def open_quarantine(settings: Settings, aws: Aws, abandon: threading.Event) -> Quarantine | None:
    """The quarantine in the dead-letter queue; None if no such queue is known.

    Args:
        settings: name the queue.
        aws: the clients.
        abandon: set when no send may wait any more.

    Raises:
        StartError: if the queue is missing.
    """
    sqs, url = aws.settling(), settings.dlq_url
    try:
        if url is not None:
            dead_letter_url(sqs, url, None)
        elif settings.queue_url is not None:
            state = read_queue(sqs, settings.queue_url, names_dead_letters=True)
            url = dead_letter_url(sqs, None, state.redrive.dead_letter_arn)
    except Unreachable as away:
        if url is None:
            raise
        # Only a refused entry needs it: SQS alone keeps no entry waiting.
        get_logger().warning("dead_letter_queue_not_read", error=str(away), consequence="it is not checked")
    if url is None:
        get_logger().warning(
            "no_quarantine",
            consequence="an entry that a sink refuses holds its shard",
            remedy="set SQS_EXPORT_EVENTS_DLQ_URL",
        )
        return None
    return Quarantine(DeadLetterQueue(sqs, url, lambda: datetime.now(UTC), abandon))
