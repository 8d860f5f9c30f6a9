"""Judges a soak: was anything lost, did a task end, do memory, open files or threads grow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from processor.observability.metrics import Metric
from tests.faults.checker import Report
from tests.soak.sampling import Sample

MAX_GROWTH_MIB = 8.0
"""Of one task, from the second quarter to the last: caches fill and heaps breathe, a leak would not stop.
`make bench` has the same limit."""

MAX_MORE_FILES = 8.0
"""Of one task. A client's pool opens another connection when calls happen to coincide, and keeps it."""

MAX_MORE_THREADS = 2.0
"""Of all tasks together, for leases move between them. While a shard rolls over, its reader and its child's
may overlap; the median of a quarter hardly sees it."""

MAX_BACKLOG_SECONDS = 5.0
"""How many seconds' worth of events may lie in the queue longer than before: more is a rate too high."""

LEAST_SAMPLES = 8
"""Two in each quarter: medians of fewer say nothing."""

_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was judged. `ok` is None where the soak was too short to tell."""

    ok: bool | None
    text: str

    def line(self) -> str:
        """For the report."""
        word = {True: "ok  ", False: "FAIL", None: "-   "}[self.ok]
        return f"{word} {self.text}"


@dataclass(frozen=True, slots=True)
class Growth:
    """How a series went on, by the medians of its second and its last quarter. The first one is the start."""

    before: float
    after: float
    seconds: float
    """From the middle of the one quarter to the middle of the other."""

    @property
    def total(self) -> float:
        """By how much it grew; negative if it fell."""
        return self.after - self.before

    @property
    def per_hour(self) -> float:
        """The slope."""
        return self.total / self.seconds * _HOUR


def growth(values: Sequence[float], seconds: float) -> Growth:
    """The growth of a series.

    Args:
        values: at least four, evenly spaced.
        seconds: that they cover.
    """
    quarter = len(values) / 4
    second = values[round(quarter) : round(2 * quarter)]
    last = values[round(3 * quarter) :]
    return Growth(median(second), median(last), seconds / 2)


def judge_series(
    name: str, series: Sequence[Sequence[float]], seconds: float, limit: float, unit: str = ""
) -> Finding:
    """Judges series of one kind by the one of them that grew most.

    Args:
        name: what they are.
        series: of each task, or of all together.
        seconds: that they cover.
        limit: the growth from the second quarter to the last that is ignored.
        unit: of the values, with a space before it.
    """
    if not series or min(map(len, series)) < LEAST_SAMPLES:
        return Finding(None, f"{name}: too few samples to tell growth")
    most = max((growth(values, seconds) for values in series), key=lambda each: each.total)
    text = (
        f"{name}: {most.before:.1f} -> {most.after:.1f}{unit},"
        f" {most.total:+.1f} (at most {limit:+g}), {most.per_hour:+.1f} an hour"
    )
    return Finding(most.total <= limit, text)


def judge_growth(samples: Sequence[Sample], rate: float, *, is_long_enough: bool) -> list[Finding]:
    """Judges memory, open files, threads and the queue.

    Args:
        samples: while events came at the full rate.
        rate: events a second.
        is_long_enough: whether exports had begun to end by the second quarter.
    """
    if not is_long_enough or not samples:
        return [Finding(None, "growth: too short a run to tell, exports must end in its first quarter")]
    seconds = samples[-1].end - samples[0].begin
    backlog = growth([sample.queue for sample in samples], seconds) if len(samples) >= LEAST_SAMPLES else None
    return [
        judge_series("memory of a task", _by_task(samples, "memory_mib"), seconds, MAX_GROWTH_MIB, " MiB"),
        judge_series("open files of a task", _by_task(samples, "files"), seconds, MAX_MORE_FILES),
        judge_series(
            "threads of all tasks",
            [[sample.total("threads") for sample in samples]],
            seconds,
            MAX_MORE_THREADS,
        ),
        Finding(None, "queue: too few samples to tell growth")
        if backlog is None
        else Finding(
            backlog.total <= rate * MAX_BACKLOG_SECONDS,
            f"queue: {backlog.before:.0f} -> {backlog.after:.0f} messages (at most"
            f" {rate * MAX_BACKLOG_SECONDS:+.0f}; more is too high a rate for this machine)",
        ),
    ]


def judge_events(report: Report, *, messages: int, exports: int, too_late: int) -> list[Finding]:
    """Judges what became of the events whose exports are over."""
    return [
        Finding(report.is_clean, report.line()),
        Finding(
            True if messages else None,
            f"compared: {messages:,} messages, {exports:,} exports that had an item",
        ),
        *(Finding(False, detail) for detail in report.details()),
        Finding(
            too_late == 0,
            f"{too_late} events that were sent in time were settled after their export's end",
        ),
    ]


def judge_tasks(problems: Sequence[str], unwanted: Mapping[Metric, float]) -> list[Finding]:
    """Judges how tasks ended, and what none of them may count."""
    counts = ", ".join(f"{metric.value} {count:.0f}" for metric, count in unwanted.items())
    return [
        Finding(not problems, f"{len(problems)} tasks ended by themselves or not in order"),
        *(Finding(False, problem) for problem in problems),
        Finding(not any(unwanted.values()), counts),
    ]


def _by_task(samples: Sequence[Sample], resource: str) -> list[list[float]]:
    """One series for each task. A sample that lacks one, which had ended, is left out."""
    most = max(len(sample.tasks) for sample in samples)
    whole = [sample for sample in samples if len(sample.tasks) == most]
    return [[_used(sample, index, resource) for sample in whole] for index in range(most)] if most else []


def _used(sample: Sample, index: int, resource: str) -> float:
    return float(getattr(sample.tasks[index], resource))
