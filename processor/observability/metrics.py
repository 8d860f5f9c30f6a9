"""Metrics of the running service, written as CloudWatch embedded metric format (EMF).

One JSON line for each interval holds everything that happened in it. The names and units are
the members of `Metric`. The limits come from "Specification: Embedded metric format" (CloudWatch User
Guide): at most 100 metrics in a directive; a metric is a number or an array of at most 100 numbers.
"""

import json
import math
import random
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import Enum
from typing import Any, Self

from handlers.timestamps import format_timestamp
from processor.observability.log import LineOutput

NAMESPACE = "ExportStatus"
SERVICE = "export-status"
PROBE_PREFIX = "probe-"  # of the requestIds of `export-status probe`, which UNFINISHED_EXPIRIES leaves out
EMF_MAX_VALUES = 100
# "MetricDatum" (CloudWatch API Reference): NaN, infinity and values beyond 2^360 either way are refused.
CLOUDWATCH_MAX_VALUE = 2.0**360
SAMPLE_SIZE = 1_000


class Kind(Enum):
    """How the values of one interval become the line's."""

    COUNTER = "sum of the interval; 0 if nothing happened"
    STATE = "highest since the last line; stays until it changes"
    PEAK = "highest of the interval; 0 without a value"
    HIGHEST = "highest of the interval; left out without a value"
    LOWEST = "lowest of the interval; left out without a value"
    DISTRIBUTION = "up to 100 values, a sample of the interval"


class Part(Enum):
    """Which part of the service reports a metric. A part that runs always sends its counters: a missing one
    means that the part does not run."""

    TRANSITIONS = "transitions"
    AUDIT = "audit"
    SERVICE = "service as a whole"


COUNTER, STATE, PEAK, HIGHEST, LOWEST, DISTRIBUTION = Kind
TRANSITIONS, AUDIT, ALL = Part


class Metric(Enum):
    """Every metric: its EMF name (the member's value), unit, kind and part; docs/metrics.md explains it."""

    _value_: str
    unit: str
    kind: Kind
    part: Part

    # One for each outcome of docs/contract.md, section 3, under the outcome's own name.
    APPLIED = "Applied", "Count", COUNTER, TRANSITIONS
    DUPLICATE = "Duplicate", "Count", COUNTER, TRANSITIONS
    STALE = "Stale", "Count", COUNTER, TRANSITIONS
    CONFLICT = "Conflict", "Count", COUNTER, TRANSITIONS
    INVALID = "Invalid", "Count", COUNTER, TRANSITIONS
    EXPIRED = "Expired", "Count", COUNTER, TRANSITIONS
    EARLY = "Early", "Count", COUNTER, TRANSITIONS
    RETRY = "Retry", "Count", COUNTER, TRANSITIONS

    SENT_TO_APPLIED = "SentToApplied", "Milliseconds", DISTRIBUTION, TRANSITIONS
    LIFE_LEFT = "LifeLeft", "Seconds", LOWEST, TRANSITIONS
    OLDEST_MESSAGE_AGE = "OldestMessageAge", "Seconds", PEAK, TRANSITIONS
    BATCH_FILL = "BatchFill", "Count", DISTRIBUTION, TRANSITIONS
    DELETES_RETRIED = "DeletesRetried", "Count", COUNTER, TRANSITIONS
    BATCH_WRITES = "BatchWrites", "None", STATE, TRANSITIONS
    WRITES_FELL_BACK = "WritesFellBack", "Count", COUNTER, TRANSITIONS
    STORE_PAUSED = "StorePaused", "None", STATE, TRANSITIONS
    RECEIVE_ERRORS = "ReceiveErrors", "Count", COUNTER, TRANSITIONS
    DEAD_LETTERED = "DeadLettered", "Count", COUNTER, TRANSITIONS

    AUDIT_EXPIRED = "AuditExpired", "Count", COUNTER, AUDIT
    AUDIT_DELETED = "AuditDeleted", "Count", COUNTER, AUDIT
    UNFINISHED_EXPIRIES = "UnfinishedExpiries", "Count", COUNTER, AUDIT
    PART_WAITING = "PartWaiting", "Count", STATE, ALL
    STREAM_LAG = "StreamLag", "Seconds", HIGHEST, AUDIT
    HOURS_TO_TRIM = "HoursToTrim", "None", LOWEST, AUDIT
    UNHELD_SHARDS = "UnheldShards", "Count", HIGHEST, AUDIT
    DISCOVERY_AGE = "DiscoveryAge", "Seconds", HIGHEST, AUDIT
    GAPS = "AuditGaps", "Count", COUNTER, AUDIT
    QUARANTINED = "Quarantined", "Count", COUNTER, AUDIT
    LEASES_HELD = "LeasesHeld", "Count", STATE, AUDIT
    SINK_ERRORS = "SinkErrors", "Count", COUNTER, AUDIT
    SINKS_DOWN = "SinksDown", "Count", STATE, AUDIT

    FAST_CALLS = "FastCalls", "Count", STATE, ALL
    LOG_LINES_LOST = "LogLinesLost", "Count", COUNTER, ALL
    METRICS_REFUSED = "MetricsRefused", "Count", COUNTER, ALL

    __hash__ = object.__hash__  # Enum's own is not in C, and a metric is a key of each count

    def __new__(cls, name: str, unit: str, kind: Kind, part: Part) -> Self:
        """A member whose value is the EMF name alone."""
        member = object.__new__(cls)
        member._value_ = name
        member.unit, member.kind, member.part = unit, kind, part
        return member


class Sample:
    """A uniform sample of any number of values in bounded memory (Vitter's algorithm R), both ends exact."""

    def __init__(self) -> None:
        self._seen = 0
        self._kept: list[float] = []
        self._smallest = math.inf
        self._largest = -math.inf

    def add(self, value: float) -> None:
        """Takes one finite value."""
        self._seen += 1
        self._smallest = min(self._smallest, value)
        self._largest = max(self._largest, value)
        if len(self._kept) < SAMPLE_SIZE:
            self._kept.append(value)
        elif (place := int(random.random() * self._seen)) < SAMPLE_SIZE:
            self._kept[place] = value

    def values(self) -> list[float]:
        """At most 100 values in rising order: all that came, or evenly spaced ranks between both ends."""
        ordered = sorted(self._kept)
        if len(ordered) <= EMF_MAX_VALUES:
            return ordered
        step = (len(ordered) - 1) / (EMF_MAX_VALUES - 1)
        ranks = [ordered[round(step * rank)] for rank in range(1, EMF_MAX_VALUES - 1)]
        return [self._smallest, *ranks, self._largest]


class Metrics:
    """Collects values from any thread and gives them out as one EMF line.

    `count`, `gauge` and `observe` never raise: a value that CloudWatch would refuse is left out and counted
    as MetricsRefused, so that no metric can change the outcome of a message.
    """

    def __init__(self, parts: Iterable[Part] = Part, service: str = SERVICE) -> None:
        """Args:
        parts: those that run here; of the others only metrics with a value are sent.
        service: the dimension `Service` (EXPORT_SERVICE_NAME).
        """
        self._service = service
        here = {*parts, Part.SERVICE}
        running = [metric for metric in Metric if metric.part in here]
        self._lock = threading.Lock()
        self._quiet: dict[Metric, float] = {
            metric: 0 for metric in running if metric.kind in {COUNTER, STATE, PEAK}
        }
        """What an interval begins with."""
        self._values = dict(self._quiet)
        self._flushed: dict[Metric, float] = {}
        self._samples: dict[Metric, Sample] = {}

    def count(self, metric: Metric, n: float = 1) -> None:
        """Adds to a counter."""
        with self._lock:
            if self._is_sendable(n):
                self._values[metric] = self._values.get(metric, 0) + n

    def gauge(self, metric: Metric, value: float) -> None:
        """Says how something is now; what of it reaches the line is the metric's kind."""
        with self._lock:
            if not self._is_sendable(value):
                return
            if metric.kind is STATE:
                self._quiet[metric] = value
            known = self._values.get(metric, value)
            self._values[metric] = min(known, value) if metric.kind is LOWEST else max(known, value)

    def observe(self, metric: Metric, *values: float) -> None:
        """Adds values to a distribution; a whole batch costs one call."""
        with self._lock:
            sample = self._samples.setdefault(metric, Sample())
            for value in values:
                if self._is_sendable(value):
                    sample.add(value)

    def flush(self, now: datetime) -> str:
        """The interval's EMF line, without a line end; a new interval begins.

        Args:
            now: the end of the interval, an aware datetime.
        """
        with self._lock:
            values, samples = self._values, self._samples
            self._flushed, self._values, self._samples = values, dict(self._quiet), {}
        members: dict[Metric, Any] = {metric: round(value, 3) for metric, value in values.items()}
        members |= {
            metric: [round(value, 3) for value in sampled]
            for metric, sample in samples.items()
            if (sampled := sample.values())
        }
        definitions = [{"Name": metric.value, "Unit": metric.unit} for metric in members]
        directive = {"Namespace": NAMESPACE, "Dimensions": [["Service"]], "Metrics": definitions}
        line = {
            "timestamp": format_timestamp(now),
            "level": "info",
            "event": "metrics",
            "_aws": {"Timestamp": math.floor(now.timestamp() * 1_000), "CloudWatchMetrics": [directive]},
            "Service": self._service,
            **{metric.value: value for metric, value in members.items()},
        }
        return json.dumps(line, allow_nan=False, separators=(",", ":"))

    def put_back(self) -> None:
        """The last line was not written: its counters are added to the next one."""
        with self._lock:
            for metric, n in self._flushed.items():
                if metric.kind is COUNTER:
                    self._values[metric] = self._values.get(metric, 0) + n
            self._flushed = {}

    def _is_sendable(self, value: object) -> bool:
        if isinstance(value, (int, float)) and -CLOUDWATCH_MAX_VALUE <= value <= CLOUDWATCH_MAX_VALUE:
            return True
        self._values[Metric.METRICS_REFUSED] += 1
        return False


class MetricsWriter:
    """A thread that writes one line each interval, and a last one at the stop. It needs no AWS permission."""

    def __init__(
        self, metrics: Metrics, lines: LineOutput, seconds: float, clock: Callable[[], datetime]
    ) -> None:
        """Takes the interval in seconds (0: write nothing) and the clock that stamps the lines."""
        self._metrics = metrics
        self._lines = lines
        self._seconds = seconds
        self._clock = clock
        self._lost_before = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begins the first interval."""
        if self._seconds > 0:
            self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Returns when the last line is written, or after the timeout if standard output blocks.

        May be called twice, and before `start`.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._write()
        self._write()

    def _write(self) -> None:
        lost = self._lines.lost_lines
        self._metrics.count(Metric.LOG_LINES_LOST, lost - self._lost_before)
        self._lost_before = lost
        try:
            self._lines.write_line(self._metrics.flush(self._clock()))
        except OSError:  # standard output is full, broken or closed; the next line counts it
            self._metrics.put_back()
            self._metrics.count(Metric.LOG_LINES_LOST)
