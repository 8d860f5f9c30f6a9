"""How many receivers poll, and when one pauses so that events gather."""

from datetime import timedelta

import pytest

from processor.transitions.context import Clocks
from processor.transitions.intake import CALM_BATCHES, CLOCK_SAMPLES, PARKED_SECONDS, Intake
from processor.transitions.messages import Message
from tests.handlers.making import at
from tests.transitions.rig import message


class Rig:
    """An intake on a clock that a test sets; our clock may be wrong by some seconds."""

    def __init__(self, linger_seconds: float = 0.2, most: int = 8, clock_error: float = 0.0) -> None:
        self.now = 0.0
        self.woken: list[int] = []
        clocks = Clocks(lambda: at(self.now + clock_error), lambda: self.now)
        self.intake = Intake(linger_seconds, most, clocks, self.woken.append)

    def page(self, number: int, age: float = 0.0, receive_count: int = 1) -> list[Message]:
        sent = at(0) + timedelta(seconds=self.now - age)
        return [message("{}", sent_at=sent, receive_count=receive_count) for _ in range(number)]

    def arrive(self, a_second: float, seconds: float = 10.0) -> None:
        """Events at an even rate, each received as it comes."""
        for _ in range(int(a_second * seconds)):
            self.now += 1 / a_second
            self.intake.first_page(self.page(1), 1 / a_second)

    def pause(self, *, more: bool = False, busy: float = 0.0) -> float:
        return self.intake.pause_seconds(busy, more=more)


@pytest.mark.parametrize("a_second", [0.1, 1, 2])
def test_a_lone_event_is_not_waited_for(a_second: float) -> None:
    rig = Rig()
    rig.arrive(a_second, 20)
    assert rig.pause() == 0.0


@pytest.mark.parametrize(("a_second", "gap"), [(20, 0.2), (100, 0.14), (400, 0.1), (1_000, 0.04)])
def test_where_company_is_to_be_expected_polls_are_as_far_apart_as_a_batch_needs(
    a_second: float, gap: float
) -> None:
    rig = Rig()
    rig.arrive(a_second)
    first, second = rig.pause(), rig.pause()
    assert second - first == pytest.approx(gap, rel=0.1), "the polls of two receivers"
    assert first <= gap * 1.1


@pytest.mark.parametrize(
    ("linger_seconds", "since"),
    [(0.2, 0.2), (0.2, 20), (0, 0)],
    ids=["it was busy", "it is quiet", "no linger"],
)
def test_where_nothing_is_to_be_gained_there_is_no_pause(linger_seconds: float, since: float) -> None:
    rig = Rig(linger_seconds=linger_seconds)
    rig.arrive(100)
    rig.pause()
    rig.now += since
    assert rig.pause() == 0.0


@pytest.mark.parametrize(("received", "took_seconds"), [(10, 0.01), (3, 0.2)], ids=["fast", "slow"])
def test_what_has_gathered_since_the_last_receive_is_expected(received: int, took_seconds: float) -> None:
    """A slow receive is not one that waited, where many come."""
    rig = Rig()
    rig.arrive(100)
    rig.now += 0.2
    found = rig.intake.first_page(rig.page(received), took_seconds)
    assert not found.waited
    assert found.expected == pytest.approx(20, rel=0.2)


def test_a_receive_that_waited_shows_that_nothing_had_gathered() -> None:
    rig = Rig()
    rig.arrive(2)
    assert rig.intake.first_page(rig.page(1), 0.5) == (True, 0.0, False)


def test_one_receiver_polls_until_messages_wait_for_longer_than_the_linger_time() -> None:
    rig = Rig()
    assert not rig.intake.first_page(rig.page(3, age=0.2), 0.005).is_late
    assert rig.intake.first_page(rig.page(3, age=0.3), 0.005).is_late
    assert [rig.intake.parked_seconds(number) for number in range(3)] == [0.0, PARKED_SECONDS, PARKED_SECONDS]


def test_messages_that_are_left_twice_in_a_row_add_a_receiver_but_no_more_than_there_are() -> None:
    rig = Rig(most=3)
    assert (rig.pause(more=True), rig.intake.polling) == (0.0, 1)
    assert (rig.pause(more=True), rig.intake.polling, rig.woken) == (0.0, 2, [1])
    assert rig.intake.parked_seconds(1) == 0.0
    for _ in range(9):
        rig.pause(more=True)
    assert (rig.intake.polling, rig.woken) == (3, [1, 2])


def test_polls_that_begin_late_add_a_receiver() -> None:
    rig = Rig()
    rig.arrive(400)
    for _ in range(3):
        rig.now += 0.25
        rig.intake.further_page(rig.page(50))
        rig.pause(busy=0.25)
    assert rig.intake.polling > 1


def test_messages_that_were_received_before_tell_nothing_of_the_backlog() -> None:
    rig = Rig()
    assert not rig.intake.first_page(rig.page(10, age=60, receive_count=3), 0.005).is_late


def test_a_receiver_stops_polling_when_a_receive_had_to_wait() -> None:
    rig = Rig()
    for _ in range(5):
        rig.pause(more=True)
    assert rig.intake.polling == 5
    for seconds in (3.0, 20.0):
        rig.now += seconds
        rig.intake.first_page(rig.page(1), seconds)
    assert rig.intake.polling == 3


def test_a_slow_full_receive_is_not_one_that_had_to_wait() -> None:
    rig = Rig()
    rig.pause(more=True)
    rig.pause(more=True)
    assert rig.intake.first_page(rig.page(10, age=2.0), 0.5).is_late
    assert rig.intake.polling == 2


@pytest.mark.parametrize(("busy", "polling"), [(0.05, 1), (0.19, 2)])
def test_a_receiver_stops_polling_after_many_batches_that_others_could_have_taken(
    busy: float, polling: int
) -> None:
    rig = Rig()
    rig.arrive(100)
    rig.pause(more=True)
    rig.pause(more=True)
    for _ in range(CALM_BATCHES + 1):
        rig.intake.further_page(rig.page(16))
        rig.now += rig.pause(busy=busy)
    assert rig.intake.polling == polling


@pytest.mark.parametrize("clock_error", [-300.0, 300.0])
def test_a_wrong_clock_neither_adds_receivers_nor_keeps_them_away(clock_error: float) -> None:
    rig = Rig(clock_error=clock_error)
    for _ in range(CLOCK_SAMPLES):  # they came while the receive waited: this is how new looks
        rig.intake.first_page(rig.page(1), 5.0)
    assert not rig.intake.first_page(rig.page(10, age=0.1), 0.005).is_late
    assert rig.intake.first_page(rig.page(10, age=0.5), 0.005).is_late
