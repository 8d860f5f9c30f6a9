"""A whole demo run, metrics on: its EMF lines are valid and together carry every metric of the table."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
OnLine = Callable[[str], None]


Demo = tuple[Board, Sequence[Mapping[str, Any]]]
"""What a demo showed in the end, and its EMF lines, each validated."""


@pytest.fixture(scope="module")
def demo() -> Demo:
    """A demo that has passed, whose service wrote a line of metrics each second."""
    lines: list[str] = []

    def metered(environment: Mapping[str, str], directory: Path, on_line: OnLine) -> ServiceProcess:
        def keep(line: str) -> None:
            if '"_aws"' in line:
                lines.append(line)
            on_line(line)

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
    return running.board, [validated(line) for line in lines]


@pytest.mark.slow
def test_the_lines_of_a_demo_are_valid_emf_and_carry_every_metric_of_the_table(demo: Demo) -> None:
    _, roots = demo
    assert len(roots) > 1
    carried = {
        definition["Name"]
        for root in roots
        for directive in root["_aws"]["CloudWatchMetrics"]
        for definition in directive["Metrics"]
    }
    assert carried == {metric.value for metric in Metric}


@pytest.mark.slow
def test_what_happened_in_a_demo_is_what_its_metrics_say(demo: Demo) -> None:
    board, roots = demo
    counted: Counter[Metric] = Counter()
    for root in roots:
        counted.update({metric: root[metric.value] for metric in Metric if metric.kind is Kind.COUNTER})
    outcomes = {outcome.value: counted[Metric[outcome.name]] for outcome in Outcome}
    assert outcomes == {outcome: board.outcomes.get(outcome, 0) for outcome in outcomes}
    assert counted[Metric.AUDIT_EXPIRED] == len(board.audit_entries) == EXPORTS
    unfinished = [entry for entry in board.audit_entries.values() if not entry["finished"]]
    assert counted[Metric.UNFINISHED_EXPIRIES] == len(unfinished)
    assert counted[Metric.DEAD_LETTERED] == board.dead_letters
    assert counted[Metric.METRICS_REFUSED] == counted[Metric.LOG_LINES_LOST] == 0
