"""A series that grows is judged as growth, a flat one is not, however noisy; all else that fails shows."""

import math
import random
from collections.abc import Sequence

import pytest

from processor.observability.metrics import Metric
from tests.faults.checker import Report
from tests.soak.judgement import (
    MAX_GROWTH_MIB,
    MAX_MORE_FILES,
    MAX_MORE_THREADS,
    growth,
    judge_events,
    judge_growth,
    judge_series,
    judge_tasks,
)
from tests.soak.sampling import Sample, TaskUse

SECONDS = 600.0
RATE = 50.0


def noisy(start: float, more: float, *, noise: float, count: int = 300) -> list[float]:
    """A series that goes from `start` to `start + more`, with noise around it."""
    dice = random.Random(7)
    return [start + more * index / count + dice.uniform(-noise, noise) for index in range(count)]


def samples_of(uses: Sequence[Sequence[TaskUse]], queue: Sequence[float] | None = None) -> list[Sample]:
    """A sample each two seconds with what each task takes."""
    return [
        Sample(
            begin=2.0 * index,
            end=2.0 * index + 2,
            is_sending=True,
            settled=100,
            audited=25,
            retried=1,
            faults=3,
            latencies_ms=(),
            queue=queue[index] if queue else 10,
            tasks=tasks,
        )
        for index, tasks in enumerate(uses)
    ]


def flat(count: int = 40) -> list[list[TaskUse]]:
    dice = random.Random(3)
    return [
        [TaskUse(70 + dice.uniform(-2, 2), 30 + dice.choice([-2, 0, 2]), 21, 12.0) for _ in range(2)]
        for _ in range(count)
    ]


def test_a_flat_noisy_series_is_no_growth() -> None:
    finding = judge_series("memory", [noisy(70, 0, noise=5)], SECONDS, MAX_GROWTH_MIB)
    assert finding.ok is True, finding.text


def test_a_growing_noisy_series_is_growth() -> None:
    finding = judge_series("memory", [noisy(70, 25, noise=5)], SECONDS, MAX_GROWTH_MIB)
    assert finding.ok is False
    assert finding.line().startswith("FAIL memory: ")


def test_one_growing_task_among_flat_ones_is_growth() -> None:
    series = [noisy(70, 0, noise=1), noisy(70, 25, noise=1), noisy(70, 0, noise=1)]
    assert judge_series("memory", series, SECONDS, MAX_GROWTH_MIB).ok is False


def test_what_grows_only_in_the_first_quarter_is_the_start() -> None:
    values = [min(70.0, 10.0 + index) for index in range(300)]
    assert growth(values, SECONDS).total == 0
    assert judge_series("memory", [values], SECONDS, MAX_GROWTH_MIB).ok is True


def test_a_single_peak_is_no_growth() -> None:
    values = [70.0] * 300
    values[280] = 500.0
    assert judge_series("memory", [values], SECONDS, MAX_GROWTH_MIB).ok is True


def test_the_slope_is_shown_for_an_hour() -> None:
    values = [0.1 * index for index in range(400)]  # 40 in all over 600 s
    assert growth(values, SECONDS).per_hour == pytest.approx(240, rel=0.02)


def test_too_few_samples_are_not_judged() -> None:
    assert judge_series("memory", [[70.0, 80.0, 90.0]], SECONDS, MAX_GROWTH_MIB).ok is None
    assert judge_series("memory", [], SECONDS, MAX_GROWTH_MIB).ok is None


def test_a_run_that_is_too_short_for_exports_to_end_is_not_judged() -> None:
    findings = judge_growth(samples_of(flat()), RATE, is_long_enough=False)
    assert [finding.ok for finding in findings] == [None]


def test_flat_tasks_pass_every_judgement_of_growth() -> None:
    findings = judge_growth(samples_of(flat()), RATE, is_long_enough=True)
    assert [finding.ok for finding in findings] == [True] * 4, findings


@pytest.mark.parametrize(
    ("resource", "step"),
    [
        ("memory_mib", 2 * MAX_GROWTH_MIB / 20),
        ("files", 2 * MAX_MORE_FILES / 20),
        ("threads", 2 * MAX_MORE_THREADS / 20),
    ],
)
def test_each_resource_that_grows_fails(resource: str, step: float) -> None:
    uses = flat()
    for index, tasks in enumerate(uses):
        grown = {name: getattr(tasks[1], name) for name in TaskUse.__dataclass_fields__}
        tasks[1] = TaskUse(**grown | {resource: grown[resource] + step * index})
    findings = judge_growth(samples_of(uses), RATE, is_long_enough=True)
    assert [finding.ok for finding in findings].count(False) == 1, findings


def test_a_queue_that_fills_up_fails() -> None:
    queue = [10 * index for index in range(40)]
    findings = judge_growth(samples_of(flat(), queue), RATE / 10, is_long_enough=True)
    assert [finding.ok for finding in findings] == [True, True, True, False]


def test_a_sample_in_which_a_task_is_missing_is_left_out() -> None:
    uses = flat()
    uses[15] = uses[15][:1]
    findings = judge_growth(samples_of(uses), RATE, is_long_enough=True)
    assert findings[0].ok is True


def test_a_loss_and_an_event_that_came_too_late_fail() -> None:
    def judged(report: Report, too_late: int) -> list[bool | None]:
        return [each.ok for each in judge_events(report, messages=9, exports=3, too_late=too_late)]

    assert judged(Report(), 0) == [True, True, True]
    assert judged(Report(lost=["export-1-2 is not in the table"]), 0) == [
        False,
        True,
        False,
        True,
    ]
    assert judged(Report(), 1) == [True, True, False]


def test_a_task_that_ended_and_a_counter_that_must_stay_zero_fail() -> None:
    assert all(finding.ok for finding in judge_tasks([], {Metric.GAPS: 0}))
    assert [finding.ok for finding in judge_tasks(["task-0 ended by itself"], {Metric.GAPS: 0})] == [
        False,
        False,
        True,
    ]
    assert [finding.ok for finding in judge_tasks([], {Metric.GAPS: 1})] == [True, False]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    [sample] = samples_of([[]])
    assert math.isnan(sample.latency_ms(50))
    measured = Sample(0, 2, True, 4, 0, 0, 0, (40.0, 10.0, 30.0, 20.0), 0, ())
    assert [measured.latency_ms(percent) for percent in (50, 75, 99)] == [20.0, 30.0, 40.0]
