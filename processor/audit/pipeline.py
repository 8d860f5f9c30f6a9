"""The audit pipeline as the settings describe it: its start-up checks, its sinks and its quarantine."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

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
    check_audit_stream,
    check_leases_table,
    check_table,
    dead_letter_url,
    read_queue,
)
from processor.streams.api import StreamsClient
from processor.streams.clocks import Clocks
from processor.streams.consumer import ConsumerSettings, RunnerFactory, StreamConsumer
from processor.streams.leases.table import LeasesClient


def make_sink(name: str, settings: Settings, aws: Aws, wait: Callable[[float], bool]) -> Sink:
    """The sink of a name in `EXPORT_AUDIT_SINKS`.

    Args:
        name: one of `SINK_NAMES`.
        settings: with the names of streams.
        aws: the clients.
        wait: waits so many seconds; true if the sink is to give up.

    Raises:
        SettingsError: if a setting that this sink needs is missing.
        ValueError: if there is no sink of this name.
    """
    match name:
        case "log":
            return LogSink(stdout_lines(), lambda: datetime.now(UTC))
        case "kinesis":
            stream, buckets = settings.required_audit_stream(), settings.audit_buckets
            return KinesisSink(aws.kinesis(), stream, buckets=buckets, wait=wait)
        case _:
            raise ValueError(f"no audit sink is called {name!r}")


def build_consumer(
    streams: StreamsClient,
    leases: LeasesClient,
    settings: ConsumerSettings,
    *,
    sinks: Sequence[Sink],
    quarantine: Quarantine | None,
    metrics: Metrics,
    health: Health,
    on_death: Death,
    clocks: Clocks | None = None,
    runner: RunnerFactory = Loop,
) -> StreamConsumer:
    """Composes the audit: the one place for the service and for the simulated world of the tests.

    Args:
        streams: answers GetRecords with raw records.
        leases: for the leases table.
        settings: what is read, and how the work is shared.
        sinks: every one of them takes an entry before its checkpoint.
        quarantine: for entries that a sink refuses; None: such an entry holds its shard.
        metrics, health: where it reports.
        on_death: called with the name and the error of a thread that ends unexpectedly.
        clocks: all its times.
        runner: makes what repeats its steps.
    """
    return StreamConsumer(
        streams,
        leases,
        settings,
        Removals(Delivery(sinks, quarantine, metrics, health)),
        metrics=metrics,
        health=health,
        on_death=on_death,
        clocks=clocks,
        runner=runner,
    )


class AuditPart:
    """The table's stream to the sinks. `start` once; `stop` and `join` may be called at any time, and twice.

    Args:
        settings: the service's settings.
        aws: the clients.
        metrics, health: where it reports.
        on_death: called with a thread's name and what killed it.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        aws: Aws,
        metrics: Metrics,
        health: Health,
        on_death: Death,
    ) -> None:
        self._settings = settings
        self._aws = aws
        self._metrics = metrics
        self._health = health
        self._on_death = on_death
        self._stopping = threading.Event()
        self._consumer: StreamConsumer | None = None

    def start(self, cancelled: threading.Event) -> None:
        """Checks tables and stream, then starts to read.

        Args:
            cancelled: set when the service is told to stop; the checks end early then.

        Raises:
            StartError: if a table or the audit stream is missing.
            SettingsError: if the settings cannot work.
        """
        settings, aws = self._settings, self._aws
        check_table(aws.dynamodb(), settings.table, cancelled)
        check_leases_table(aws.leases(), settings.leases_table, cancelled)
        sinks = [self._sink(name, cancelled) for name in settings.audit_sinks]
        self._consumer = build_consumer(
            aws.streams(),
            aws.leases(),
            ConsumerSettings(
                status_table=settings.table,
                leases_table=settings.leases_table,
                failover_seconds=settings.lease_failover_seconds,
            ),
            sinks=sinks,
            quarantine=self._quarantine(cancelled),
            metrics=self._metrics,
            health=self._health,
            on_death=self._on_death,
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
        consumer = self._consumer
        if consumer is None:
            return StopReport(clean=True, hung=False)
        return consumer.join()

    def _sink(self, name: str, cancelled: threading.Event) -> Sink:
        if name == "kinesis":
            check_audit_stream(self._aws.kinesis(), self._settings.required_audit_stream(), cancelled)
        return make_sink(name, self._settings, self._aws, self._stopping.wait)

    def _quarantine(self, cancelled: threading.Event) -> Quarantine | None:
        settings, sqs = self._settings, self._aws.settling()
        url = settings.dlq_url
        if url is not None:
            dead_letter_url(sqs, url, None, cancelled)
        elif settings.queue_url is not None:
            facts = read_queue(sqs, settings.queue_url, cancelled)
            url = dead_letter_url(sqs, None, facts.redrive.dead_letter_arn, cancelled)
        if url is None:
            get_logger().warning(
                "no_quarantine",
                consequence="an entry that a sink refuses holds its shard",
                remedy="set SQS_EXPORT_EVENTS_DLQ_URL",
            )
            return None
        return Quarantine(DeadLetterQueue(sqs, url, lambda: datetime.now(UTC), self._stopping))
