"""The sink `log` writes whole JSON lines, and writes none again that it has flushed."""

import io
import json

import pytest

from processor.audit.sinks.base import SinkUnavailable
from processor.audit.sinks.log import LogSink
from processor.observability.log import LineOutput
from processor.streams.record_processor import Interrupted
from tests.audit.entries import NOW, always, expired, put_all


def test_an_audit_line_is_one_json_object_with_the_entrys_fields_at_the_top() -> None:
    stream = io.StringIO()
    put_all(LogSink(LineOutput(stream), lambda: NOW), expired("a", "b"))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"], line["timestamp"]) for line in lines] == [
        ("audit", "info", "2026-11-22T10:00:00.000Z")
    ] * 2
    (entry, _) = expired("a", "b")
    assert json.loads(entry.to_json()).items() <= lines[0].items()


def test_the_longest_audit_line_is_under_sixteen_kibibytes() -> None:
    stream = io.StringIO()
    worst = "\x00" * 10_000
    entries = expired(worst, error={"S": worst}, fileName={"S": worst})
    put_all(LogSink(LineOutput(stream), lambda: NOW), entries)
    assert len(stream.getvalue().encode()) < 16 * 1_024


def test_a_line_that_cannot_be_written_makes_the_sink_unavailable() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(SinkUnavailable):
        put_all(LogSink(LineOutput(stream), lambda: NOW), expired("a"))


def test_the_log_sink_asks_before_each_write_and_continues_behind_the_last() -> None:
    stream, answers = io.StringIO(), [True, False]
    put = LogSink(LineOutput(stream), lambda: NOW).begin(expired(*[str(number) for number in range(50)]))
    with pytest.raises(Interrupted):
        put.go_on(lambda: answers.pop(0))
    assert 0 < len(stream.getvalue().splitlines()) == put.durable < 50
    put.go_on(always)
    assert len(stream.getvalue().splitlines()) == put.durable == 50
