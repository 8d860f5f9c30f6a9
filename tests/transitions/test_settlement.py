"""Settling: what leaves the queue, what stays, what an operator hears of it, and a drain's last seconds."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from handlers.events import decode
from handlers.transitions import Outcome
from processor.aws.errors import Transient
from processor.aws.sqs import BatchResult
from processor.dead_letters import DeadLetter
from processor.transitions.messages import Message
from processor.transitions.outcome_log import OutcomeLog
from processor.transitions.results import EventResult, failed, paused
from processor.transitions.settlement import Settlement, SettlementPlan
from processor.transitions.status_table import NotTried
from tests.handlers.making import at, body
from tests.transitions.rig import context, message

LAST_RECEIVE = 60
UNTIL = 7.0


class World:
    """Both queues; SQS answers unless it is silent, and may refuse to take messages back."""

    def __init__(self) -> None:
        self.max_receive_count = LAST_RECEIVE
        self.silent = False
        self.refuses = False
        self.accepts_letters = True
        self.calls: list[tuple[str, Any]] = []
        self.letters: list[DeadLetter] = []
        collaborators: Any = self
        self.settlement = Settlement(
            collaborators, collaborators, OutcomeLog(time.monotonic), collaborators, context()
        )

    def send(self, letters: Sequence[DeadLetter], until: float) -> BatchResult:
        assert until == UNTIL
        if not self.accepts_letters:
            return BatchResult({}, {}, range(len(letters)))
        self.letters += letters
        return BatchResult(dict.fromkeys(range(len(letters)), "id"), {})

    def delete(self, messages: Sequence[Message], until: float) -> BatchResult:
        return self._answer("delete", messages, until)

    def make_visible(self, pairs: Sequence[tuple[Message, int]], until: float) -> BatchResult:
        return self._answer("make_visible", pairs, until, refuses=self.refuses)

    def _answer(self, name: str, asked: Sequence[Any], until: float, *, refuses: bool = False) -> BatchResult:
        assert until == UNTIL
        self.calls.append((name, [*asked]))
        done = {} if self.silent or refuses else dict.fromkeys(range(len(asked)), "")
        return BatchResult(done, {}, range(len(done), len(asked)), not self.silent)


@pytest.fixture
def world() -> World:
    return World()


EVENT = decode(body(), now=at(60))
TIMED_OUT = Transient("UpdateItem", "ReadTimeoutError")
OUT_OF_TIME = NotTried("UpdateItem", "OutOfTime")
NO_ANSWER = "the table did not answer the write (UpdateItem: ReadTimeoutError)"
NO_TIME = "there was no time left to try the write"


def test_a_write_that_failed_is_backed_off_and_one_that_was_not_tried_goes_back_at_once(
    world: World,
) -> None:
    backed_off, untried = message("{}", receive_count=5), message("{}", receive_count=5)
    results = [failed(backed_off, EVENT, TIMED_OUT), failed(untried, EVENT, OUT_OF_TIME)]
    assert [result.reason for result in results] == [NO_ANSWER, NO_TIME]
    plan = world.settlement.plan(results, UNTIL)
    assert plan == SettlementPlan(back_off=[backed_off], release=[untried])
    world.settlement.carry_out(plan, UNTIL, release_first=False)
    [_, (_, pairs)] = world.calls
    seconds = dict(pairs)
    assert seconds[untried] == 0
    assert 16 <= seconds[backed_off] <= 32
    assert world.letters == []


@pytest.mark.parametrize(
    ("result", "outcome", "reason"),
    [
        (failed(message("{}", receive_count=LAST_RECEIVE), EVENT, TIMED_OUT), "retry", NO_ANSWER),
        (failed(message("{}", receive_count=LAST_RECEIVE), EVENT, OUT_OF_TIME), "retry", NO_TIME),
        (
            paused(message("{}", receive_count=LAST_RECEIVE + 1), None),
            "retry",
            "the table takes no writes, so none was tried",
        ),
        (
            EventResult(
                message("{}", receive_count=LAST_RECEIVE), Outcome.EARLY, EVENT, "createdAt is missing"
            ),
            "early",
            "createdAt is missing",
        ),
    ],
    ids=["failed", "untried", "paused", "early"],
)
def test_at_the_last_receive_a_message_is_dead_lettered_with_its_reason_and_an_operator_hears_of_it(
    world: World, result: EventResult, outcome: str, reason: str, logged: list[Any]
) -> None:
    plan = world.settlement.plan([result], UNTIL)
    assert plan == SettlementPlan(delete=[result.message])
    [letter] = world.letters
    assert (letter.outcome, letter.reason) == (outcome, reason)
    [line] = logged
    assert (line["event"], line["log_level"], line["outcome"]) == ("event_outcome", "warning", outcome)


@pytest.mark.parametrize(
    ("release_first", "trouble", "calls"),
    [
        (True, "", ["make_visible", "delete"]),
        (False, "", ["delete", "make_visible"]),
        (True, "silent", ["make_visible"]),
        (True, "refuses", ["make_visible", "delete"]),
    ],
)
def test_a_drain_s_last_seconds_give_back_first_and_wait_for_a_silent_queue_once(
    world: World, *, release_first: bool, trouble: str, calls: list[str]
) -> None:
    if trouble:
        setattr(world, trouble, True)
    plan = SettlementPlan(delete=[message("{}")], back_off=[message("{}")], release=[message("{}")])
    world.settlement.carry_out(plan, UNTIL, release_first=release_first)
    assert [name for name, _ in world.calls] == calls
    world.calls.clear()
    world.settlement.carry_out(SettlementPlan(delete=plan.delete), UNTIL, release_first=True)
    assert world.calls == [("delete", plan.delete)]


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_s_line_carries_the_trace_and_of_a_rejected_event_the_sender(
    world: World, outcome: Outcome, logged: list[Any]
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = {"DataType": "String", "StringValue": f"00-{trace}-00f067aa0ba902b7-01"}
    sent = message("{}", attributes={"traceparent": parent}, sender_id="AIDAEXAMPLE")
    world.settlement.plan([EventResult(sent, outcome, EVENT, "why")], UNTIL)
    [line] = logged
    assert (line["event"], line["outcome"], line["trace_id"]) == ("event_outcome", outcome.value, trace)
    shown = line.get("sender_id")
    assert shown == ("AIDAEXAMPLE" if outcome in {Outcome.INVALID, Outcome.CONFLICT} else None)
    assert [letter.attributes for letter in world.letters] == [sent.attributes] * len(world.letters)


def test_a_message_whose_copy_was_not_accepted_stays_and_is_logged_with_its_trace(
    world: World, logged: list[Any]
) -> None:
    world.accepts_letters = False
    sent = message("{}", trace_header="Root=1-5759e988-bd862e3fe1be46a994272793")
    plan = world.settlement.plan([EventResult(sent, Outcome.INVALID, None, "why")], UNTIL)
    assert plan == SettlementPlan(back_off=[sent])
    assert [line["event"] for line in logged] == ["event_outcome", "dead_letter_failed"]
    assert logged[0]["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
