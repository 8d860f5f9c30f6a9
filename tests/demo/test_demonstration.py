"""A whole demo run, metrics on: its EMF lines are valid and together carry every metric of the table."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from handlers.transitions import Outcome
from processor.demo import demonstration
from processor.demo.board import View
from processor.demo.demonstration import Demonstration
from processor.demo.service_process import ServiceProcess
from processor.demo.verdict import Check
from processor.observability.metrics import Kind, Metric
from tests.emf import validated
from tests.waiting import eventually

EXPORTS = 20
TTLS_SECONDS = (12, 36, 108)
"""A demo that fails has another try with more time: on a slow machine events come too late."""

LIMIT_SECONDS = 240.0

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

    view: View
    roots: Sequence[Mapping[str, Any]]


class Metered(ServiceProcess):
    """The demo's service, with a line of metrics each second, which are kept."""

    lines: ClassVar[list[str]] = []

    def __init__(
        self,
        environment: Mapping[str, str],
        directory: Path,
        on_line: Callable[[str, Mapping[str, Any]], None],
    ) -> None:
        self.lines.clear()

        def keep(text: str, fields: Mapping[str, Any]) -> None:
            if fields.get("event") == "metrics":
                self.lines.append(text)
            on_line(text, fields)

        super().__init__({**environment, "EXPORT_METRICS_SECONDS": "1"}, directory, keep)


@pytest.fixture(scope="module")
def demo() -> Demo:
    """A demo that has passed."""
    failed: list[Check] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(demonstration, "ServiceProcess", Metered)
        for ttl_seconds in TTLS_SECONDS:
            with Demonstration(exports=EXPORTS, ttl_seconds=ttl_seconds, seed=1) as running:
                running.start(lambda _: None)
                eventually(running.is_over, LIMIT_SECONDS)
                judgement = running.judge()
            failed = [check for check in judgement.checks if not check.passed]
            if not failed:
                break
    assert failed == []
    return Demo(judgement.view, [validated(line) for line in Metered.lines])


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
    assert outcomes == {outcome: demo.view.outcomes.get(outcome, 0) for outcome in outcomes}
    assert counted[Metric.AUDIT_EXPIRED] == len(demo.view.audit_entries) == EXPORTS
    unfinished = [entry for entry in demo.view.audit_entries if not entry["finished"]]
    assert counted[Metric.UNFINISHED_EXPIRIES] == len(unfinished)
    assert counted[Metric.DEAD_LETTERED] == demo.view.rejected
    assert happened(demo.roots) >= set(Metric) - ONLY_IN_TROUBLE
    assert counted[Metric.METRICS_REFUSED] == counted[Metric.LOG_LINES_LOST] == 0
