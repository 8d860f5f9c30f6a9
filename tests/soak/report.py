"""What a soak shows: a table of some stretches, a plot of each series, and a CSV of every sample."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tests.soak.judgement import Finding
from tests.soak.plotting import ASCII, BLOCKS, plot
from tests.soak.sampling import Sample, TaskUse, stretches

TABLE_ROWS = 15
PLOT_ROWS = 2
WIDTH = 80

LEGEND = (
    "settled, audit: a second. p50, p95, p99: ms from the receive of an event to the",
    "answer of its write, applied events only (ReceiveToApplied of the metrics).",
    "MiB, files, threads, CPU (% of a core): the task with most/all tasks, averaged.",
)

_HEAD = ("seconds", "settled", "p50", "p95", "p99", "audit", "MiB", "files", "threads", "CPU %", "queue")
_WIDTHS = (9, 7, 5, 6, 6, 5, 8, 6, 7, 7, 5)

Series = Callable[[Sample], float]

PLOTTED: Mapping[str, Series] = {
    "settled a second": lambda sample: sample.rate(sample.settled),
    "p50, ms": lambda sample: sample.latency_ms(50),
    "p95, ms": lambda sample: sample.latency_ms(95),
    "p99, ms": lambda sample: sample.latency_ms(99),
    "audit entries a second": lambda sample: sample.rate(sample.audited),
    "memory of all tasks, MiB": lambda sample: sample.total("memory_mib"),
    "open files of all tasks": lambda sample: sample.total("files"),
    "threads of all tasks": lambda sample: sample.total("threads"),
    "CPU of all tasks, % of one core": lambda sample: sample.total("cpu_percent"),
    "messages in the queue": lambda sample: sample.queue,
}

_COLUMNS: Mapping[str, Series] = {
    "begin_seconds": lambda sample: sample.begin,
    "end_seconds": lambda sample: sample.end,
    "sending": lambda sample: int(sample.is_sending),
    "settled_per_second": PLOTTED["settled a second"],
    "receive_to_applied_p50_ms": PLOTTED["p50, ms"],
    "receive_to_applied_p95_ms": PLOTTED["p95, ms"],
    "receive_to_applied_p99_ms": PLOTTED["p99, ms"],
    "audit_entries_per_second": PLOTTED["audit entries a second"],
    "retries_per_second": lambda sample: sample.rate(sample.retried),
    "faults_per_second": lambda sample: sample.rate(sample.faults),
    "queue_messages": lambda sample: sample.queue,
}
_RESOURCES = tuple(TaskUse.__dataclass_fields__)


def show_table(console: Console, samples: Sequence[Sample]) -> None:
    """A line for each stretch."""
    for line in LEGEND:
        _show(console, line, "dim")
    _show(console, _row(_HEAD), "bold")
    for stretch in stretches(samples, TABLE_ROWS):
        _show(console, _row(_cells(stretch)))


def show_plots(console: Console, samples: Sequence[Sample]) -> None:
    """Each series from zero to its highest value, over the whole time."""
    steps = BLOCKS if console.encoding.startswith("utf") else ASCII
    for name, series in PLOTTED.items():
        values = [series(sample) for sample in samples]
        known = [value for value in values if not math.isnan(value)]
        if known:
            _show(console, f"{name}: lowest {min(known):,.1f}, highest {max(known):,.1f}", "bold")
            for row in plot(values, rows=PLOT_ROWS, width=WIDTH - 2, steps=steps):
                _show(console, f"  {row}", "cyan")


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """A line for each."""
    _show(console, "Growth is from the second quarter of the run to the last, by medians.", "dim")
    styles = {True: "green", False: "bold red", None: "yellow"}
    for finding in findings:
        _show(console, finding.line(), styles[finding.ok])


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """Every sample: the series, then each resource of all tasks, of the task with most, and of each task.

    Raises:
        OSError: if the file cannot be written.
    """
    tasks = max((len(sample.tasks) for sample in samples), default=0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                *_COLUMNS,
                *(f"{resource}_{which}" for resource in _RESOURCES for which in ("sum", "max")),
                *(f"{resource}_task_{index}" for index in range(tasks) for resource in _RESOURCES),
            ]
        )
        for sample in samples:
            cells = [series(sample) for series in _COLUMNS.values()]
            for resource in _RESOURCES:
                cells += [sample.total(resource), sample.most(resource)]
            cells += [getattr(use, resource) for use in sample.tasks for resource in _RESOURCES]
            writer.writerow(
                ["" if math.isnan(cell) else f"{cell:.3f}".rstrip("0").rstrip(".") for cell in cells]
            )


def _cells(stretch: Sample) -> tuple[str, ...]:
    return (
        f"{stretch.begin:.0f}-{stretch.end:.0f}",
        _number(stretch.rate(stretch.settled), 1),
        *(_number(stretch.latency_ms(percent)) for percent in (50, 95, 99)),
        _number(stretch.rate(stretch.audited), 1),
        *(f"{_number(stretch.most(name))}/{_number(stretch.total(name))}" for name in _RESOURCES),
        _number(stretch.queue),
    )


def _number(value: float, digits: int = 0) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True))


def _show(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
