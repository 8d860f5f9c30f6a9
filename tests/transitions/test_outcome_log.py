"""Lines of outcomes: at most ten a second of each, written or counted, and all of them at DEBUG."""

import logging
from collections import Counter
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.transitions.outcome_log import OutcomeLog
from processor.transitions.results import EventResult
from tests.transitions.rig import message


class TimedLog(OutcomeLog):
    """A log on a monotonic clock that a test sets."""

    now = 0.0

    def __init__(self) -> None:
        super().__init__(lambda: self.now)


@pytest.fixture
def log() -> TimedLog:
    return TimedLog()


@pytest.fixture
def at_info(logged: list[Any]) -> list[Any]:
    logging.getLogger().setLevel(logging.INFO)
    return logged


def write(log: OutcomeLog, outcome: Outcome, number: int = 1, *, exhausted: bool = False) -> None:
    for _ in range(number):
        log.write(EventResult(message("{}"), outcome), exhausted=exhausted)


def lines(logged: list[Any]) -> Counter[str]:
    return Counter(line["outcome"] for line in logged if line["event"] == "event_outcome")


def left_out(logged: list[Any]) -> list[Any]:
    return [line["counts"] for line in logged if line["event"] == "event_outcomes_left_out"]


def test_a_second_has_ten_lines_of_each_outcome_and_the_others_are_counted(
    log: TimedLog, at_info: list[Any]
) -> None:
    write(log, Outcome.EXPIRED, 1_000)
    write(log, Outcome.INVALID, 12)
    write(log, Outcome.CONFLICT, 3)
    assert lines(at_info) == {"expired": 10, "invalid": 10, "conflict": 3}
    assert left_out(at_info) == []
    log.flush()
    assert left_out(at_info) == [], "the second is not over"
    log.now = 1.0
    log.flush()
    log.flush()
    assert left_out(at_info) == [{"expired": 990, "invalid": 2}]


def test_every_outcome_is_written_or_counted_whatever_the_rate(log: TimedLog, at_info: list[Any]) -> None:
    for tick in range(300):
        log.now = tick * 0.037
        write(log, Outcome.EXPIRED, tick % 7)
    log.flush(at_once=True)
    counted = sum(each["expired"] for each in left_out(at_info))
    assert lines(at_info)["expired"] + counted == sum(tick % 7 for tick in range(300))
    assert lines(at_info)["expired"] <= 10 * 12
    assert len(left_out(at_info)) <= 12, "one line a second"


def test_at_debug_nothing_is_left_out(log: OutcomeLog, logged: list[Any]) -> None:
    write(log, Outcome.EXPIRED, 50)
    write(log, Outcome.APPLIED, 50)
    log.flush(at_once=True)
    assert lines(logged) == {"expired": 50, "applied": 50}
    assert left_out(logged) == []


def test_outcomes_that_no_operator_needs_are_lines_of_debug_only(log: OutcomeLog, at_info: list[Any]) -> None:
    for outcome in (Outcome.APPLIED, Outcome.DUPLICATE, Outcome.STALE, Outcome.EARLY, Outcome.RETRY):
        write(log, outcome, 20)
    log.flush(at_once=True)
    assert at_info == []


def test_what_has_no_receive_left_is_a_warning(log: OutcomeLog, at_info: list[Any]) -> None:
    write(log, Outcome.EARLY, exhausted=True)
    assert lines(at_info) == {"early": 1}
