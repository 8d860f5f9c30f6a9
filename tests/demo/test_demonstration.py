"""A whole demo run, metrics on: its EMF lines are valid and together carry every metric of the table."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.demo import demonstration
from processor.demo.board import Board
from processor.demo.demonstration import Demonstration
from processor.demo.service_process import ServiceProcess
from processor.observability.metrics import Kind, Metric
from tests.emf import validated
from tests.waiting import eventually

EXPORTS = 20
LIMIT_SECONDS = 240.0
OnLine = Callable[[str, Mapping[str, Any]], None]

# A demo has no fault, no delete but TTL's and no lost line: these are carried, but need not be above 0.
ONLY_IN_TROUBLE = {
    Metric.RETRY,
    Metric.DELETES_RETRIED,
    Metric.STORE_PAUSED,
    Metric.PART_WAITING,
    Metric.BATCH_WRITES,  # the embedded AWS does not do batches right
    Metric.WRITES_FELL_BACK,
    Metric.RECEIVE_ERRORS,
    Metric.AUDIT_DELETED,
    Metric.GAPS,
    Metric.QUARANTINED,
    Metric.SINK_ERRORS,
    Metric.SINKS_DOWN,
    Metric.LOG_LINES_LOST,
    Metric.METRICS_REFUSED,
}


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demo showed in the end, and its EMF lines, each validated."""

    board: Board
    roots: Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def demo() -> Demo:
    """A demo that has passed, whose service wrote a line of metrics each second."""
    lines: list[str] = []

    def metered(environment: Mapping[str, str], directory: Path, on_line: OnLine) -> ServiceProcess:
        def keep(text: str, fields: Mapping[str, Any]) -> None:
            if fields.get("event") == "metrics":
                lines.append(text)
            on_line(text, fields)

        return ServiceProcess({**environment, "EXPORT_METRICS_SECONDS": "1"}, directory, keep)

    with (
        pytest.MonkeyPatch.context() as patched,
        Demonstration(exports=EXPORTS, ttl_seconds=12, seed=1) as running,
    ):
        patched.setattr(demonstration, "ServiceProcess", metered)
        running.start(lambda _: None)
        eventually(running.is_over, LIMIT_SECONDS)
        verdict = running.judge()
    assert [check for check in verdict.checks if check.failures] == []
    return Demo(running.board, [validated(line) for line in lines])


def happened(roots: Sequence[Mapping[str, Any]]) -> set[Metric]:
    """The metrics that were above 0 at some time."""
    return {each for each in Metric for root in roots if each.value in root and highest(root, each) > 0}


def highest(root: Mapping[str, Any], metric: Metric) -> float:
    """A line's value of a metric, of a distribution the highest."""
    value = root[metric.value]
    return float(max(value) if isinstance(value, list) else value)


@pytest.mark.slow
def test_the_lines_of_a_demo_are_valid_emf_and_carry_every_metric_of_the_table(demo: Demo) -> None:
    assert len(demo.roots) > 1
    carried = {
        definition["Name"]
        for root in demo.roots
        for directive in root["_aws"]["CloudWatchMetrics"]
        for definition in directive["Metrics"]
    }
    assert carried == {metric.value for metric in Metric}


@pytest.mark.slow
def test_what_happened_in_a_demo_is_what_its_metrics_say(demo: Demo) -> None:
    counted: Counter[Metric] = Counter()
    for root in demo.roots:
        counted.update({metric: root[metric.value] for metric in Metric if metric.kind is Kind.COUNTER})
    outcomes = {outcome.value: counted[Metric[outcome.name]] for outcome in Outcome}
    assert outcomes == {outcome: demo.board.outcomes.get(outcome, 0) for outcome in outcomes}
    assert counted[Metric.AUDIT_EXPIRED] == len(demo.board.audit_entries) == EXPORTS
    unfinished = [entry for entry in demo.board.audit_entries.values() if not entry["finished"]]
    assert counted[Metric.UNFINISHED_EXPIRIES] == len(unfinished)
    assert counted[Metric.DEAD_LETTERED] == demo.board.dead_letters
    assert happened(demo.roots) >= set(Metric) - ONLY_IN_TROUBLE
    assert counted[Metric.METRICS_REFUSED] == counted[Metric.LOG_LINES_LOST] == 0
