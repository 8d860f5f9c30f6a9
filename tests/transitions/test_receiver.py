"""One receiver: what it asks for, when it begins a batch, what it does with failures, pauses and the stop."""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Self

import pytest

from handlers.events import decode
from handlers.transitions import Outcome
from processor.aws.clients import CONNECT_SECONDS, SETTLE_CALL_SECONDS, WRITE_ANSWER_SECONDS
from processor.aws.errors import AwsError, Misconfigured, NotFound, Transient
from processor.observability.metrics import Metric
from processor.transitions.applier import Applied
from processor.transitions.context import Timing
from processor.transitions.handling import BatchHandler
from processor.transitions.intake import Intake
from processor.transitions.messages import Message
from processor.transitions.receiver import Receiver
from processor.transitions.results import EventResult
from processor.transitions.settlement import SettlementPlan
from tests.handlers.making import TTL_SECONDS, at, body, text_at
from tests.transitions.rig import Clock, context, counted, message

VISIBILITY_SECONDS = 120
MOST_SECONDS = Timing().receive_back_off_most_seconds


class World:
    """Every collaborator of one receiver; the queue answers by plan and then it is time to stop."""

    def __init__(
        self, *answers: list[Message] | AwsError, fifo: bool = False, linger_seconds: float = 0
    ) -> None:
        self.answers = list(answers)
        self.during_receive: Callable[[], None] = lambda: None
        self.now = 0.0
        self.apply_takes = self.receive_takes = 0.0
        self.waits: list[float] = []
        self.asked: list[int] = []
        self.attempts: list[str] = []
        self.applied: list[list[Message]] = []
        self.deadlines: list[float] = []
        self.settle_deadlines: list[float] = []
        self.results: list[EventResult] = []
        self.settled = SettlementPlan()
        self.release_first: list[bool] = []
        self.retry: set[str] = set()
        self.is_tripped = False
        self.outage: AwsError | None = None
        parts: Any = self
        self.context = context(Clock(), lambda: self.now, fifo=fifo, abandon=threading.Event())
        self.metrics = self.context.metrics
        self.receiver = Receiver(
            0,
            queue=parts,
            intake=Intake(linger_seconds, 1, self.context.clocks, lambda _number: None),
            handler=BatchHandler(parts, parts, parts, self.context),
            breaker=parts,
            monitor=parts,
            context=self.context,
        )

    def run(self, **changes: Any) -> Self:
        """Takes steps until the receiver has ended; these attributes have other values from here on."""
        vars(self).update(changes)
        while (wait := self.receiver.step()) is not None:
            self.waits += [wait] if wait else []
            self.now += wait
        return self

    # the queue

    def receive(self, wait_seconds: int, attempt: str) -> list[Message]:
        self.asked.append(wait_seconds)
        self.attempts.append(attempt)
        self.during_receive()
        self.now += 0 if wait_seconds else self.receive_takes
        if not self.answers:
            self.context.stop.set()
            return []
        answer = self.answers.pop(0)
        if isinstance(answer, AwsError):
            raise answer
        return answer

    # the applier

    def look_up(self, *, late_too: bool) -> None:
        """No look-up is needed."""

    def apply(self, deliveries: Iterable[Any], deadline: float, _look_up: Any) -> Applied:
        pairs = list(deliveries)
        self.applied.append([each for each, _ in pairs])
        self.deadlines.append(deadline)
        self.now += self.apply_takes
        results = [
            EventResult(each, Outcome.RETRY if each.message_id in self.retry else Outcome.APPLIED, event)
            for each, event in pairs
        ]
        return Applied(results, self.outage)

    # the settlement

    def plan(self, results: list[EventResult], deadline: float) -> SettlementPlan:
        self.results += results
        self.settle_deadlines.append(deadline)
        return SettlementPlan(
            delete=[each.message for each in results if each.outcome is not Outcome.RETRY],
            back_off=[each.message for each in results if each.outcome is Outcome.RETRY and not each.untried],
            release=[each.message for each in results if each.untried],
        )

    def carry_out(self, plan: SettlementPlan, deadline: float, *, release_first: bool) -> None:
        self.settled.add(plan)
        self.settle_deadlines.append(deadline)
        self.release_first.append(release_first)

    # the monitor

    handling_seconds = VISIBILITY_SECONDS

    # the breaker

    def pause(self) -> float:
        return 0.0

    def trip(self, error: AwsError) -> None:
        self.is_tripped = True


def page(number: int = 10, **changes: Any) -> list[Message]:
    return [message(body(requestId=f"r{index}"), **changes) for index in range(number)]


def unreachable() -> Transient:
    return Transient("ReceiveMessage", "EndpointConnectionError")


def test_failed_receives_back_off_with_jitter_and_a_good_one_resets_it() -> None:
    world = World(*[unreachable() for _ in range(5)], page(1), unreachable(), [], unreachable()).run()
    for waited, whole in zip(world.waits, [0.5, 1, 2, 4, 8, 0.5, 0.5], strict=True):
        assert whole / 2 <= waited <= whole
    assert counted(world.metrics, Metric.RECEIVE_ERRORS) == 7
    assert len(world.settled.delete) == 1


@pytest.mark.parametrize(
    "error",
    [
        unreachable(),
        Misconfigured("ReceiveMessage", "AccessDenied"),
        NotFound("ReceiveMessage", "QueueDoesNotExist"),
    ],
    ids=str,
)
def test_a_queue_that_refuses_every_receive_from_the_start_is_waited_for(error: AwsError) -> None:
    world = World(*[error] * 500, page(1)).run()
    assert len(world.waits) == 500
    assert MOST_SECONDS / 2 <= min(world.waits[10:]) <= max(world.waits) <= MOST_SECONDS
    assert len(world.settled.delete) == 1


@pytest.mark.parametrize(("code", "is_repeated"), [("ReadTimeoutError", True), ("OverLimit", False)])
def test_an_attempt_whose_answer_may_be_lost_is_repeated(code: str, *, is_repeated: bool) -> None:
    world = World([], Transient("ReceiveMessage", code), [], []).run()
    first, lost, again, next_one, _ = world.attempts
    assert len({first, lost, next_one}) == 3
    assert (again == lost) is is_repeated


def test_full_pages_are_followed_without_waiting_up_to_fifty_messages() -> None:
    world = World(*[page() for _ in range(6)], page(4)).run()
    assert world.asked == [20, 0, 0, 0, 0, 20, 0, 20]
    assert [len(batch) for batch in world.applied] == [50, 14]


def test_a_page_that_is_not_full_is_handled_at_once() -> None:
    world = World(page(9), page(10), page(0)).run()
    assert world.asked == [20, 20, 0, 20]
    assert [len(batch) for batch in world.applied] == [9, 10]


def test_an_empty_page_is_followed_by_another_where_many_more_are_expected() -> None:
    """A receive that does not wait asks only some of SQS's servers."""
    world = World(*[page() for _ in range(6)], [], page(9), linger_seconds=0.2).run(apply_takes=2.0)
    assert world.asked == [20, 0, 0, 0, 0, 20, 0, 0, 20]
    assert [len(batch) for batch in world.applied] == [50, 19]


def test_an_error_while_filling_up_keeps_what_is_in_hand() -> None:
    world = World(page(), unreachable(), page(1)).run()
    assert [len(batch) for batch in world.applied] == [10, 1]
    assert len(world.settled.delete) == 11
    assert world.waits == []


def test_what_users_feel_is_measured_from_the_producer_s_send_to_the_write() -> None:
    """The clock stands at 60 s after the request; an export lives 900 s."""
    known = message(body(createdAt=text_at(0)), sent_at=at(58))
    other = message(body(requestId="r2", createdAt=None, status="failed"), sent_at=at(61))
    world = World([known, other]).run()
    assert counted(world.metrics, Metric.SENT_TO_APPLIED) == [0, 2_000]
    world = World([known]).run()
    assert counted(world.metrics, Metric.LIFE_LEFT) == TTL_SECONDS - 60


def test_a_message_that_was_received_twice_is_handled_once_with_its_newest_handle() -> None:
    older, newest = (message(body(), message_id="m", receipt_handle=handle) for handle in "ab")
    world = World([older, newest]).run()
    assert world.applied == [[newest]]


def test_a_message_that_breaks_the_decoder_is_rejected_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    def defective(text: str, **more: Any) -> Any:
        return decode(text, **more) if text == body() else [].pop()

    monkeypatch.setattr("processor.transitions.handling.decode", defective)
    world = World([message("{}"), message(body())]).run()
    reasons = {result.outcome: result.reason for result in world.results}
    unreadable = "the body could not be read, which is a defect of the consumer"
    assert reasons == {Outcome.INVALID: unreadable, Outcome.APPLIED: ""}
    [line] = logged
    assert (line["event"], line["log_level"]) == ("decode_failed", "error")
    assert isinstance(line["exc_info"], IndexError)  # named by its type when it is written


def test_an_idle_receiver_asks_once_a_long_poll() -> None:
    world = World(*[[] for _ in range(180)]).run()  # an hour
    assert set(world.asked) == {20}
    assert world.waits == []


def test_slow_cycles_ask_for_less_and_fast_ones_for_more_again() -> None:
    world = World(*[page() for _ in range(5 + 5 + 5)]).run(apply_takes=VISIBILITY_SECONDS / 3)
    sizes = [len(batch) for batch in world.applied]
    assert sizes[0] == 50
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 30
    world.context.stop.clear()
    world.run(apply_takes=0.0, applied=[], answers=[page() for _ in range(5 * 8)])
    sizes = [len(batch) for batch in world.applied]
    assert sizes[:-1] == sorted(sizes[:-1])
    assert sizes.count(50) > 3


def test_the_deadline_of_a_batch_lies_within_the_visibility_timeout_of_its_first_page() -> None:
    """A write that begins just before it may hang, and then settling still has time for a call."""
    world = World(page(), page(), page(1)).run(now=1_000.0, receive_takes=10.0)
    [deadline] = world.deadlines
    visible_at = 1_000 + VISIBILITY_SECONDS
    written_by = deadline + CONNECT_SECONDS + WRITE_ANSWER_SECONDS
    for settle_deadline in world.settle_deadlines:
        assert written_by < settle_deadline <= visible_at - SETTLE_CALL_SECONDS
    assert deadline > 1_000 + VISIBILITY_SECONDS / 2


def test_what_the_polls_that_were_open_bring_while_the_table_is_down_is_backed_off_untried() -> None:
    world = World([no_json := message("no JSON"), *page(9)])
    world.during_receive = lambda: setattr(world, "is_tripped", True)  # another thread's write has failed
    world.run()
    assert world.asked == [20, 20], "a full page, and yet no further one"
    assert (world.applied, world.settled.delete, world.settled.release) == ([], [no_json], [])
    assert len(world.settled.back_off) == 9
    assert {result.reason for result in world.results} == {
        "the table takes no writes, so none was tried",
        "the body must be JSON",
    }


def test_on_fifo_what_is_no_event_does_not_overtake_what_waits_for_the_table() -> None:
    before, event, after = (message(text, group_id="g") for text in ("no JSON", body(), "no JSON"))
    world = World([before, event, after], fifo=True).run(is_tripped=True)
    assert (world.settled.delete, world.settled.back_off) == ([before], [event, after])


def test_on_fifo_an_outage_ends_the_writes_of_a_batch() -> None:
    messages = page(3, group_id="g")
    world = World(messages, fifo=True).run(outage=Transient("UpdateItem", "InternalServerError"))
    assert [len(batch) for batch in world.applied] == [1]
    assert set(world.settled.back_off) == set(messages[1:])


def test_what_a_drain_finds_in_hand_after_its_time_is_released_untouched() -> None:
    world = World(page())
    world.context.abandon.set()
    world.run()
    assert (world.applied, world.settled.delete, world.settled.back_off) == ([], [], [])
    assert len(world.settled.release) == 10
    assert world.release_first == [True]
    assert {result.reason for result in world.results} == {"there was no time left to try the write"}


def test_what_a_poll_returns_after_the_stop_is_still_handled() -> None:
    world = World(page())
    world.during_receive = world.context.stop.set  # the signal comes while the poll is open
    world.run()
    assert world.asked == [20], "no further page is asked for"
    assert len(world.settled.delete) == 10
    assert world.release_first == [False]


def test_on_fifo_a_batch_that_would_outlive_the_visibility_timeout_gives_up_what_it_has_not_started() -> None:
    messages = page(5, group_id="g")
    world = World(messages, fifo=True).run(apply_takes=50.0)
    assert [len(batch) for batch in world.applied] == [1, 1, 1]
    assert world.settled.delete == messages[:3]
    assert world.settled.release == messages[3:]


def test_on_fifo_what_follows_a_message_that_was_left_stays_although_it_was_folded_with_it() -> None:
    """Three events of one export in one step; the second one's copy is not taken, say."""
    first, second, third = [message(body(requestId="x"), group_id="g") for _ in range(3)]
    other = message(body(requestId="y"), group_id="h")
    world = World([first, second, other, third], fifo=True).run(retry={second.message_id})
    assert set(world.settled.delete) == {first, other}
    assert set(world.settled.back_off) == {second, third}


def test_on_a_standard_queue_a_message_that_is_left_holds_up_nobody() -> None:
    messages = page(4, group_id="fair queues have groups too")
    world = World(messages).run(retry={messages[0].message_id})
    assert world.settled.back_off == messages[:1]
    assert world.settled.delete == messages[1:]
