"""The metrics lines: valid EMF, right sums, and calls that never raise."""

import io
import json
import math
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import botocore.session
import jsonschema
import pytest
from botocore.model import StringShape

from handlers.transitions import Outcome
from processor.observability.log import LineOutput
from processor.observability.metrics import EMF_MAX_VALUES, Kind, Metric, Metrics, MetricsWriter, Part
from tests.docs.markdown import codes, read, table
from tests.emf import UNITS, validated

NOW = datetime(2026, 11, 22, 10, 0, 7, 250_000, tzinfo=UTC)
DEADLINE_SECONDS = 60


def give(metrics: Metrics, metric: Metric, *values: float) -> None:
    for value in values:
        match metric.kind:
            case Kind.COUNTER:
                metrics.count(metric, value)
            case Kind.DISTRIBUTION:
                metrics.observe(metric, value)
            case _:
                metrics.gauge(metric, value)


def with_every_metric() -> str:
    metrics = Metrics()
    for metric in Metric:
        give(metrics, metric, *range(150))
    return metrics.flush(NOW)


def test_a_line_with_every_metric_is_valid_emf() -> None:
    root = validated(with_every_metric())
    (directive,) = root["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "ExportStatus"
    assert directive["Dimensions"] == [["Service"]]
    assert root["Service"] == "export-status"
    assert root["_aws"]["Timestamp"] == 1_795_341_607_250
    assert root["timestamp"] == "2026-11-22T10:00:07.250Z"
    assert {definition["Name"]: definition["Unit"] for definition in directive["Metrics"]} == {
        metric.value: metric.unit for metric in Metric
    }


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: root["_aws"].pop("Timestamp"),
        lambda root: root["_aws"]["CloudWatchMetrics"][0]["Metrics"][0].update(Unit="Hours"),
        lambda root: root["_aws"]["CloudWatchMetrics"][0].update(Namespace=""),
        lambda root: root["_aws"]["CloudWatchMetrics"][0]["Metrics"].extend([{"Name": "x"}] * 100),
        lambda root: root.update(BatchFill={"Values": [1], "Counts": [2]}),
        lambda root: root.update(BatchFill=[1.0] * 101),
    ],
)
def test_the_schema_of_these_tests_refuses_what_emf_refuses(spoil: Any) -> None:
    root = json.loads(with_every_metric())
    spoil(root)
    with pytest.raises(jsonschema.ValidationError):
        validated(json.dumps(root))


def test_the_units_of_these_tests_are_those_of_cloudwatch() -> None:
    shape = botocore.session.get_session().get_service_model("cloudwatch").shape_for("StandardUnit")
    assert isinstance(shape, StringShape)
    assert sorted(UNITS) == sorted(shape.enum)


def test_the_page_of_metrics_lists_every_metric_with_its_unit_kind_part_and_meaning() -> None:
    page = read("docs/metrics.md")
    listed = [
        (part, codes(name)[0], unit, kind, bool(meaning))
        for part in Part
        for name, unit, kind, meaning in table(page.split(f"## {part.value.capitalize()}\n")[1], "| metric |")
    ]
    assert sorted(listed, key=str) == sorted(
        ((each.part, each.value, each.unit, each.kind.value, True) for each in Metric), key=str
    )
    assert len(Metric) <= 100
    assert all(metric.value.isalnum() and metric.value.isascii() for metric in Metric)


@pytest.mark.parametrize(
    ("metric", "values", "first", "second"),
    [
        (Metric.APPLIED, (3, 1), 4, 0),
        (Metric.STORE_PAUSED, (1, 0), 1, 0),
        (Metric.LEASES_HELD, (4,), 4, 4),
        (Metric.OLDEST_MESSAGE_AGE, (3, 40, 1 / 3), 40, 0),
        (Metric.STREAM_LAG, (0, 7_200.00049, 60), 7_200, None),
        (Metric.HOURS_TO_TRIM, (24, 22, 23.9), 22, None),
        (Metric.BATCH_FILL, (), None, None),
        (Metric.SENT_TO_APPLIED, (12.3456789, 7), [7, 12.346], None),
    ],
    ids=lambda each: each.name if isinstance(each, Metric) else None,
)
def test_two_intervals_show_what_the_metric_s_kind_says(
    metric: Metric, values: tuple[float, ...], first: Any, second: Any
) -> None:
    metrics = Metrics()
    give(metrics, metric, *values)
    assert [validated(metrics.flush(NOW)).get(metric.value) for _ in range(2)] == [first, second]


def test_an_idle_service_still_sends_what_alarms_rely_on() -> None:
    metrics = Metrics()
    for _ in range(2):
        root = validated(metrics.flush(NOW))
        standing = {metric.value for metric in Metric if metric.kind in {Kind.COUNTER, Kind.STATE, Kind.PEAK}}
        assert {name for name in standing if root[name] == 0} == standing


def test_every_outcome_has_its_metric() -> None:
    assert {Metric[outcome.name].value for outcome in Outcome} == {o.value.capitalize() for o in Outcome}


@pytest.mark.parametrize(
    ("running", "other"),
    [(Part.TRANSITIONS, Part.AUDIT), (Part.AUDIT, Part.TRANSITIONS)],
    ids=lambda part: part.name,
)
def test_a_part_that_does_not_run_is_missing_not_zero(running: Part, other: Part) -> None:
    root = validated(Metrics(iter([running])).flush(NOW))  # an iterator, as the service gives its parts
    assert {metric.part for metric in Metric if metric.value in root} == {running, Part.SERVICE}
    foreign = next(metric for metric in Metric if metric.part is other and metric.kind is Kind.COUNTER)
    metrics = Metrics([running])
    metrics.count(foreign)
    assert validated(metrics.flush(NOW))[foreign.value] == 1


def test_up_to_a_hundred_values_are_sent_as_they_came() -> None:
    metrics = Metrics()
    metrics.observe(Metric.SENT_TO_APPLIED, *range(60))
    metrics.observe(Metric.SENT_TO_APPLIED, *range(60, 100))
    assert validated(metrics.flush(NOW))["SentToApplied"] == list(range(100))


def test_a_hundred_values_stand_for_any_number() -> None:
    random.seed(1)  # the same sample at each run
    metrics = Metrics()
    for start in range(0, 200_000, 50):
        metrics.observe(Metric.SENT_TO_APPLIED, *range(start, start + 50))
    metrics.observe(Metric.SENT_TO_APPLIED, 1_000_000)
    sent = validated(metrics.flush(NOW))["SentToApplied"]
    assert len(sent) == EMF_MAX_VALUES
    assert (sent[0], sent[-1]) == (0, 1_000_000)  # both ends are exact, however rare
    # 0.08 is more than five standard errors of a quantile of 1,000 sampled values.
    for quantile in (0.1, 0.5, 0.9):
        assert sent[round(quantile * 99)] == pytest.approx(quantile * 200_000, abs=0.08 * 200_000)


def test_two_deployments_differ_in_the_dimension() -> None:
    assert validated(Metrics(service="exports-eu").flush(NOW))["Service"] == "exports-eu"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**361, 10**400, None, "7", object()])
def test_a_value_that_cannot_be_sent_is_left_out_and_counted_and_never_raises(value: Any) -> None:
    metrics = Metrics()
    metrics.count(Metric.APPLIED, value)
    metrics.gauge(Metric.STREAM_LAG, value)
    metrics.observe(Metric.BATCH_FILL, 1, value, 3)
    root = validated(metrics.flush(NOW))
    assert root["MetricsRefused"] == 3
    assert root["Applied"] == 0
    assert "StreamLag" not in root
    assert root["BatchFill"] == [1, 3]


def test_nothing_is_lost_or_counted_twice_between_threads_and_flushes() -> None:
    metrics = Metrics()

    def work(_: int) -> None:
        for _ in range(5_000):
            metrics.count(Metric.APPLIED)
            metrics.observe(Metric.BATCH_FILL, 10)
            metrics.gauge(Metric.OLDEST_MESSAGE_AGE, 1)

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(work, number) for number in range(8)]
        lines = []
        while not all(each.done() for each in done):
            lines.append(metrics.flush(NOW))
    lines.append(metrics.flush(NOW))
    assert sum(json.loads(line)["Applied"] for line in lines) == 40_000


class Stream(io.StringIO):
    """Standard output: takes lines, or refuses them."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.tried = threading.Condition()
        self.tries = 0

    def write(self, text: str) -> int:
        with self.tried:
            self.tries += 1
            self.tried.notify_all()
            if self.broken:
                raise OSError("no space left")
            return super().write(text)

    def wait_for_tries(self, count: int) -> None:
        with self.tried:
            assert self.tried.wait_for(lambda: self.tries >= count, DEADLINE_SECONDS)

    def sum_of(self, name: str) -> float:
        lines = [line for line in self.getvalue().splitlines() if line]
        return float(sum(validated(line)[name] for line in lines))


def writer_to(stream: Stream, metrics: Metrics, seconds: float = 0.01) -> MetricsWriter:
    return MetricsWriter(metrics, LineOutput(stream), seconds, lambda: NOW)


def test_the_writer_writes_every_interval_and_again_at_the_stop() -> None:
    metrics, stream = Metrics(), Stream()
    writer = writer_to(stream, metrics)
    writer.start()
    stream.wait_for_tries(3)
    metrics.count(Metric.APPLIED, 5)
    writer.stop(DEADLINE_SECONDS)
    written = stream.tries
    assert stream.sum_of("Applied") == 5
    writer.stop(DEADLINE_SECONDS)
    assert stream.tries == written


def test_a_long_interval_does_not_hold_up_the_stop_or_lose_what_was_counted() -> None:
    metrics, stream = Metrics(), Stream()
    writer = writer_to(stream, metrics, 3_600)
    writer.start()
    metrics.count(Metric.APPLIED, 5)
    writer.stop(DEADLINE_SECONDS)
    assert (stream.tries, stream.sum_of("Applied")) == (1, 5)


@pytest.mark.parametrize(("seconds", "starts"), [(0, True), (60, False)])
def test_an_interval_of_zero_and_a_stop_before_the_start_write_nothing(seconds: int, *, starts: bool) -> None:
    stream = Stream()
    writer = writer_to(stream, Metrics(), seconds)
    if starts:
        writer.start()
    writer.stop(DEADLINE_SECONDS)
    assert stream.tries == 0


def test_a_broken_output_is_survived_and_reported_by_the_next_line() -> None:
    metrics, stream = Metrics(), Stream()
    stream.broken = True
    output = LineOutput(stream)
    metrics.count(Metric.APPLIED, 5)
    writer = MetricsWriter(metrics, output, 0.01, lambda: NOW)
    writer.start()
    stream.wait_for_tries(2)
    with stream.tried:
        stream.broken = False
        failed = stream.tries
        output.lost_lines = 7  # log lines of the same output
    stream.wait_for_tries(failed + 1)
    writer.stop(DEADLINE_SECONDS)
    assert (stream.sum_of("LogLinesLost"), stream.sum_of("Applied")) == (failed + 7, 5)


def test_a_blocked_output_does_not_hold_up_the_stop() -> None:
    entered, released = threading.Event(), threading.Event()

    class Blocked(Stream):
        def write(self, text: str) -> int:
            entered.set()
            released.wait(DEADLINE_SECONDS)
            return super().write(text)

    stream = Blocked()
    writer = writer_to(stream, Metrics())
    writer.start()
    assert entered.wait(DEADLINE_SECONDS)
    writer.stop(0.05)
    assert stream.tries == 0
    released.set()
    writer.stop(DEADLINE_SECONDS)
    assert stream.tries == 2  # the line that was blocked, and the last one
