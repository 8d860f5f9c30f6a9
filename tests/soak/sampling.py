"""Measures the tasks of a soak from the outside, and reads what their metrics lines say.

Throughput, latency and audit entries come from the metrics lines that the service writes each second.
Memory, open files, threads and CPU are the kernel's (proc(5)).
"""

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from statistics import fmean
from typing import Any

from processor.observability.metrics import Metric
from tests.benchmarks.measuring import cpu_seconds, resident_mib
from tests.support.service import ServiceProcess

SETTLING = (Metric.APPLIED, Metric.DUPLICATE, Metric.STALE, Metric.CONFLICT, Metric.INVALID, Metric.EXPIRED)
"""The outcomes after which a message does not come back."""

AUDITING = (Metric.AUDIT_EXPIRED, Metric.AUDIT_DELETED)

UNWANTED = (Metric.GAPS, Metric.QUARANTINED, Metric.LOG_LINES_LOST, Metric.METRICS_REFUSED)
"""Counters that nothing in a soak may raise."""

_GONE = (FileNotFoundError, ProcessLookupError, StopIteration)


@dataclass(frozen=True, slots=True)
class TaskUse:
    """What one task takes at one moment; CPU since the sample before, in percent of one core."""

    memory_mib: float
    files: float
    threads: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured in one stretch of time, which may be several samples together."""

    begin: float
    """Seconds since the first message."""
    end: float
    is_sending: bool
    settled: float
    audited: float
    retried: float
    faults: float
    """Counts, of the whole stretch."""
    latencies_ms: Sequence[float]
    """From the receive of an event to the answer of its write (`ReceiveToApplied`), applied events only."""
    queue: float
    """Messages in the event queue, visible or not."""
    tasks: Sequence[TaskUse]

    def rate(self, count: float) -> float:
        """A count of this stretch, a second."""
        return count / (self.end - self.begin)

    def latency_ms(self, percent: float) -> float:
        """A percentile by nearest rank; not a number where nothing was applied."""
        ordered = sorted(self.latencies_ms)
        return ordered[math.ceil(percent / 100 * len(ordered)) - 1] if ordered else math.nan

    def most(self, resource: str) -> float:
        """What the task takes that takes most of it."""
        return max((getattr(task, resource) for task in self.tasks), default=math.nan)

    def total(self, resource: str) -> float:
        """What all tasks take together."""
        return math.fsum(getattr(task, resource) for task in self.tasks) if self.tasks else math.nan


def together(samples: Sequence[Sample]) -> Sample:
    """Samples that follow one another as one: counts added up, latencies pooled, the rest averaged."""
    tasks = zip(*(sample.tasks for sample in samples), strict=False)
    return Sample(
        begin=samples[0].begin,
        end=samples[-1].end,
        is_sending=samples[-1].is_sending,
        settled=math.fsum(sample.settled for sample in samples),
        audited=math.fsum(sample.audited for sample in samples),
        retried=math.fsum(sample.retried for sample in samples),
        faults=math.fsum(sample.faults for sample in samples),
        latencies_ms=tuple(chain.from_iterable(sample.latencies_ms for sample in samples)),
        queue=fmean(sample.queue for sample in samples),
        tasks=tuple(
            TaskUse(
                memory_mib=fmean(use.memory_mib for use in uses),
                files=fmean(use.files for use in uses),
                threads=fmean(use.threads for use in uses),
                cpu_percent=fmean(use.cpu_percent for use in uses),
            )
            for uses in tasks
        ),
    )


def stretches(samples: Sequence[Sample], most: int) -> list[Sample]:
    """The samples in stretches of about the same length, at most `count`."""
    count = min(most, len(samples))
    bounds = [len(samples) * number // count for number in range(count + 1)] if count else []
    return [together(samples[low:high]) for low, high in pairwise(bounds)]


class Sampler:
    """Takes samples, each from the one before on."""

    def __init__(self) -> None:
        """Begins the first one."""
        self._began = self._before = time.monotonic()
        self._cpu: dict[int, float] = {}
        self._faults = 0.0
        self.unwanted: dict[Metric, float] = dict.fromkeys(UNWANTED, 0.0)
        """How often something happened that must not happen."""

    def take(
        self,
        lines: Iterable[Mapping[str, Any]],
        tasks: Iterable[ServiceProcess],
        *,
        queue: int,
        faults: float,
        is_sending: bool,
    ) -> Sample:
        """Ends a sample.

        Args:
            lines: what the tasks have written since the last one.
            tasks: those that run.
            queue: messages in the event queue.
            faults: how many there have been since the beginning.
            is_sending: whether events still come at the full rate.
        """
        now = time.monotonic()
        begin, self._before = self._before, now
        more_faults, self._faults = faults - self._faults, faults
        metrics = [line for line in lines if line.get("event") == "metrics"]
        for metric in UNWANTED:
            self.unwanted[metric] += _sum(metrics, (metric,))
        return Sample(
            begin=begin - self._began,
            end=now - self._began,
            is_sending=is_sending,
            settled=_sum(metrics, SETTLING),
            audited=_sum(metrics, AUDITING),
            retried=_sum(metrics, (Metric.RETRY,)),
            faults=more_faults,
            latencies_ms=tuple(
                chain.from_iterable(line.get(Metric.RECEIVE_TO_APPLIED.value, ()) for line in metrics)
            ),
            queue=queue,
            tasks=tuple(
                use for task in tasks if (use := self._use(task.process.pid, now - begin)) is not None
            ),
        )

    def _use(self, pid: int, seconds: float) -> TaskUse | None:
        """What a process takes, None if it has ended."""
        try:
            cpu = cpu_seconds(pid)
            memory_mib = resident_mib(pid)
            files = len(os.listdir(f"/proc/{pid}/fd"))
            threads = len(os.listdir(f"/proc/{pid}/task"))
        except _GONE:  # the fleet reports a task that ends by itself
            return None
        before = self._cpu.get(pid, cpu)
        self._cpu[pid] = cpu
        return TaskUse(memory_mib, files, threads, 100 * (cpu - before) / seconds)


def _sum(lines: Iterable[Mapping[str, Any]], metrics: Iterable[Metric]) -> float:
    return math.fsum(line.get(metric.value, 0) for line in lines for metric in metrics)
