"""The long-running service: composition, start and stop order, signals, one drain budget.

Stop order: receive and read no more, finish what was received, release the leases; all within
EXPORT_DRAIN_SECONDS of the signal (docs/invariants.md, law 8).
"""

import gc
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from handlers.masking import mask_urls
from processor.audit.pipeline import AuditPart
from processor.aws.clients import Aws
from processor.aws.fast_choice import FastChoice, proofs
from processor.backoff import BackOff
from processor.loops import Loop, StopReport
from processor.observability.health import Health
from processor.observability.log import get_logger, stdout_lines
from processor.observability.metrics import Metric, Metrics, MetricsWriter, Part
from processor.settings import Settings, load_aws_settings
from processor.startup_checks import StartError, Unreachable
from processor.transitions.context import PipelineContext
from processor.transitions.pipeline import TransitionsPipeline

EXIT_FINE = 0
EXIT_FAILED = 1
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_START_LIMIT_SECONDS = 360.0  # of an attempt, whose calls may all be slow
_START_ENDS_SECONDS = 0.5  # how long a start may take to notice the stop
MISSING_SECONDS = 60.0  # how long something may be missing or refused before a process without a half ends
PATIENCE_SECONDS = 60.0  # with throttling, time-outs and 5xx: a rolling deployment may meet them
WAITING_LINE_SECONDS = 60.0
_CLOSING_SECONDS = 1.0  # of the drain budget, kept for the last metrics line and the health file


class Pipeline(Protocol):
    """One of the two straight lines: started once, stopped by a deadline on `time.monotonic()`."""

    def start(self, cancelled: threading.Event) -> None:
        """Checks what it needs, unless it is cancelled, and starts its threads."""

    def stop(self, deadline: float) -> None:
        """Begins to stop; returns at once."""

    def join(self) -> StopReport:
        """Waits for the end until that deadline."""


@dataclass(frozen=True, slots=True)
class ServiceEnd:
    """How the service ended.

    Attributes:
        status: the exit status: 0 after a clean drain, 1 if a thread died or the drain went over its budget.
        failure: why the status is 1, for standard error; the log has the details.
        hung: a thread was still in a call that did not end.
    """

    status: int
    failure: str
    hung: bool


class Starts:
    """Starts each half by itself, and as often as it takes (docs/invariants.md, law 12). Makes no thread.

    What does not answer is waited for without limit. What is missing or refused keeps its half waiting, and
    fails the start only if after a minute no half could start because of it.

    Args:
        halves: the pipelines by their part's name.
        cancelled: set when the service has to stop.
        metrics, health: show which half waits, and for what.
        on_started: called once every half has started.
        monotonic: the clock (seconds).
    """

    def __init__(
        self,
        halves: Mapping[str, Pipeline],
        cancelled: threading.Event,
        metrics: Metrics,
        health: Health,
        *,
        on_started: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._halves = halves
        self._cancelled = cancelled
        self._metrics = metrics
        self._health = health
        self._on_started = on_started
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting: dict[str, StartError] = {}
        self._started: set[str] = set()
        self._begun = monotonic()
        self._patient: set[str] = set()
        self._line_at = dict.fromkeys(halves, -math.inf)
        self._back_offs = {part: BackOff(0.5, 8.0) for part in halves}

    def step(self, part: str) -> float | None:
        """One attempt at a half; a step of a loop.

        Returns:
            How long to wait before the next one (seconds); None if it has started, or must not any more.

        Raises:
            StartError: if no half can start because something is missing or refused.
            SettingsError: if the settings cannot work.
        """
        try:
            self._halves[part].start(self._cancelled)
        except StartError as error:
            if self._cancelled.is_set():
                return None
            self._waits(part, error)
            return self._back_offs[part].failed()
        self._has_started(part)
        return None

    def _waits(self, part: str, error: StartError) -> None:
        since_begin = self._monotonic() - self._begun
        if isinstance(error, Unreachable) and since_begin < PATIENCE_SECONDS:
            if part not in self._patient:
                self._patient.add(part)
                get_logger().warning("start_waits", part=part, problem=str(error))
            return
        if self._monotonic() - self._line_at[part] >= WAITING_LINE_SECONDS:
            self._line_at[part] = self._monotonic()
            get_logger().error("part_waiting", part=part, problem=str(error))
        self._health.report(part, str(error))
        with self._lock:
            self._waiting[part] = error
            self._metrics.gauge(Metric.PART_WAITING, len(self._waiting))
            missing = not any(isinstance(each, Unreachable) for each in self._waiting.values())
            nothing_runs = self._waiting.keys() == self._halves.keys()
        if missing and nothing_runs and since_begin >= MISSING_SECONDS:
            raise error

    def _has_started(self, part: str) -> None:
        self._health.report(part, None)
        self._health.answered(part)
        with self._lock:
            self._waiting.pop(part, None)
            self._started.add(part)
            self._metrics.gauge(Metric.PART_WAITING, len(self._waiting))
            everything = self._started == self._halves.keys()
        if everything and not self._cancelled.is_set():
            self._on_started()


class Service:
    """Runs the pipelines until a signal or a thread's death.

    Args:
        settings: the service's settings.
        parts: `transitions`, `audit` or both.
    """

    def __init__(self, settings: Settings, parts: tuple[str, ...]) -> None:
        self._settings = settings
        self._parts = parts
        self._wake = threading.Event()
        self._stopping_since: float | None = None
        self._deaths: list[str] = []
        self._start_error: BaseException | None = None
        self._failure = "it did not end as it should"

    def run(self) -> ServiceEnd:
        """Runs until a signal comes or a thread dies.

        Raises:
            SettingsError: if the settings cannot work.
            StartError: if a queue or table is missing.
        """
        settings = self._settings
        if "transitions" in self._parts:
            settings.required_queue_url()
        if "audit" in self._parts and "kinesis" in settings.audit_sinks:
            settings.required_audit_stream()
        log = get_logger()
        metrics = Metrics([Part(part) for part in self._parts], settings.service_name)
        health = Health(
            settings.health_file, warn=lambda problem: log.warning("health_degraded", problem=problem)
        )
        fast_calls = FastChoice(settings.fast_calls, proofs(settings), metrics, health)
        aws = Aws(
            load_aws_settings(settings),
            threads=max(settings.receivers, settings.audit_readers),
            poll_seconds=settings.poll_seconds,
            fast_calls=fast_calls,
        )
        self._take_signals()  # before the line that says so: a signal from there on ends the start in order
        log.info("service_starting", parts=self._parts, region=aws.region, settings=settings.for_log())
        writer = MetricsWriter(metrics, stdout_lines(), settings.metrics_seconds, lambda: datetime.now(UTC))
        pipelines = self._compose(aws, metrics, health)
        health.expect("transitions" if "transitions" in self._parts else "audit")
        # Their calls may take long, and a signal must not wait for them.
        starts = Starts(pipelines, self._wake, metrics, health, on_started=self._on_started)
        loop = partial(Loop, health=health, limit_seconds=_START_LIMIT_SECONDS)
        proving = loop("fast-calls", fast_calls.step, on_death=self._on_death)
        starting = [
            loop(f"start-{part}", partial(starts.step, part), on_death=self._on_start_failure)
            for part in pipelines
        ]
        in_a_call = False
        try:
            for each in [*starting, proving]:
                each.start()
            health.start()
            writer.start()
            self._wake.wait()
            for each in starting:
                each.stop()
            deadline = time.monotonic() + _START_ENDS_SECONDS
            in_a_call = not all(each.join(deadline - time.monotonic()) for each in starting)
        finally:
            proving.stop()
            stopped = self._drain([*pipelines.values()])
            writer.stop(_CLOSING_SECONDS)
            health.stop()
        if self._start_error and self._stopping_since is None:
            raise self._start_error
        status = EXIT_FINE if stopped.clean and not self._deaths else EXIT_FAILED
        log.info("service_stopped", exit_status=status, drained=stopped.clean)
        return ServiceEnd(status, self._failure, stopped.hung or in_a_call)

    def _on_start_failure(self, _name: str, error: BaseException) -> None:
        self._start_error = error
        self._wake.set()

    def _on_started(self) -> None:
        # What exists now stays: the collector would look at all of it with every page of records.
        gc.freeze()
        get_logger().info("service_started", parts=self._parts)

    def _compose(self, aws: Aws, metrics: Metrics, health: Health) -> dict[str, Pipeline]:
        settings, on_death = self._settings, self._on_death
        pipelines: dict[str, Pipeline] = {}
        if "audit" in self._parts:
            pipelines["audit"] = AuditPart(
                settings=settings, aws=aws, metrics=metrics, health=health, on_death=on_death
            )
        if "transitions" in self._parts:
            context = PipelineContext(settings, metrics, health)
            pipelines["transitions"] = TransitionsPipeline(aws, context, on_death)
        return pipelines

    def _drain(self, pipelines: list[Pipeline]) -> StopReport:
        since = self._stopping_since if self._stopping_since is not None else time.monotonic()
        deadline = since + self._settings.drain_seconds - _CLOSING_SECONDS
        for pipeline in pipelines:
            pipeline.stop(deadline)
        # After the stops: a blocked standard output must not keep leases from their release.
        get_logger().info("service_stopping", drain_seconds=self._settings.drain_seconds)
        reports = [pipeline.join() for pipeline in pipelines]
        report = StopReport(
            clean=all(each.clean for each in reports), hung=any(each.hung for each in reports)
        )
        if not report.clean:
            self._failure = f"the drain went over its {self._settings.drain_seconds} seconds"
            get_logger().error(
                "drain_over_budget",
                drain_seconds=self._settings.drain_seconds,
                consequence="messages and shards come back after their visibility timeout or lease",
            )
        return report

    def _on_death(self, name: str, error: BaseException) -> None:
        self._deaths.append(name)
        known = isinstance(error, StartError)
        reason = mask_urls(str(error)) if known else "see error_type"
        self._failure = f"the thread {name} died ({reason if known else type(error).__name__})"
        get_logger().critical("thread_died", thread=name, reason=reason, exc_info=error)
        self._wake.set()

    def _take_signals(self) -> None:
        """The first signal asks for a drain, a second one ends the process at once.

        A thread waits for them. A handler would run between any two steps of the main thread, also where
        that holds the lock of the very event that it has to set.
        """
        if threading.current_thread() is threading.main_thread():
            # The threads to come inherit this, so the one that waits is the only one to see a signal.
            signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
            threading.Thread(target=self._wait_for_signals, name="signals", daemon=True).start()

    def _wait_for_signals(self) -> None:
        signal.sigwait(_STOP_SIGNALS)
        self._stopping_since = time.monotonic()
        self._wake.set()
        # Also where even the last log line is stuck, the process is gone in time.
        signal.sigtimedwait(_STOP_SIGNALS, self._settings.drain_seconds + _CLOSING_SECONDS)
        os._exit(EXIT_FAILED)


def run_service(settings: Settings, parts: tuple[str, ...], leave: Callable[[int], None] = os._exit) -> int:
    """Runs the service and leaves the process, also when a thread still hangs in a call.

    Args:
        settings: the service's settings.
        parts: `transitions`, `audit` or both.
        leave: ends the process when a thread did not end; interpreter shutdown would wait for its locks.

    Returns:
        The exit status, where every thread ended.
    """
    end = Service(settings, parts).run()
    if end.status != EXIT_FINE:
        print(f"export-status: {end.failure}", file=sys.stderr, flush=True)
    if end.status != EXIT_FINE or end.hung:
        leave(end.status)
    return end.status
