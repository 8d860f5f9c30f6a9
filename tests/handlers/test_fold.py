"""Several events of one export become one change."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.events import ExportEvent
from handlers.export import Status, ttl_of
from handlers.transitions import Change, fold
from tests.handlers.making import CREATED, SIGNED_URL, TTL_SECONDS, at, event, text_at

CREATED_AT = text_at(0)


def folded(*events: ExportEvent) -> tuple[int, Change]:
    return fold(events, TTL_SECONDS)


def test_one_event_is_its_own_change() -> None:
    alone = event("completed", createdAt=CREATED_AT, fileName="f", signedUrl=SIGNED_URL)
    ttl = ttl_of(CREATED, TTL_SECONDS)
    assert folded(alone) == (0, Change("req-1", Status.COMPLETED, at(1), CREATED, ttl, "f", SIGNED_URL))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_highest_leads_and_takes_from_the_others_what_it_lacks(order: tuple[int, ...]) -> None:
    events = [
        event("pending", occurredAt=CREATED_AT),
        event("processing", fileName="f", occurredAt=text_at(2)),
        event("completed", signedUrl=SIGNED_URL, occurredAt=text_at(3)),
    ]
    arrived = [events[index] for index in order]
    lead, change = folded(*arrived)
    assert arrived[lead].status is Status.COMPLETED
    ttl = ttl_of(CREATED, TTL_SECONDS)
    assert change == Change("req-1", Status.COMPLETED, at(3), CREATED, ttl, "f", SIGNED_URL, begins=True)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_two_terminal_events_the_earlier_leads_whatever_arrived_first(order: tuple[int, ...]) -> None:
    events = [
        event("completed", occurredAt=text_at(9), fileName="late.csv", signedUrl=SIGNED_URL),
        event("failed", occurredAt=text_at(8), error="disk full"),
        event("pending", occurredAt=CREATED_AT),
    ]
    arrived = [events[index] for index in order]
    lead, change = folded(*arrived)
    assert arrived[lead].status is Status.FAILED
    assert (change.updated_at, change.error, change.signed_url) == (at(8), "disk full", None)


def test_two_terminal_events_of_the_same_instant_stand_in_their_order_of_arrival() -> None:
    completed, failed = event("completed"), event("failed")
    assert folded(completed, failed)[1].status is Status.COMPLETED
    assert folded(failed, completed)[1].status is Status.FAILED


def test_repeats_give_what_the_first_of_them_lacks() -> None:
    lead, change = folded(
        event("completed"), event("completed", fileName="f"), event("completed", signedUrl=SIGNED_URL)
    )
    assert (lead, change.file_name, change.signed_url) == (0, "f", SIGNED_URL)


def test_an_error_never_comes_from_an_event_of_another_status() -> None:
    _, change = folded(
        event("completed", occurredAt=text_at(1)), event("failed", occurredAt=text_at(2), error="disk full")
    )
    assert (change.status, change.error) == (Status.COMPLETED, None)


@pytest.mark.parametrize("status", ["processing", "completed"])
def test_where_repeats_disagree_the_first_to_arrive_stands(status: str) -> None:
    lead, change = folded(
        event(status, occurredAt=text_at(9), createdAt=text_at(2), fileName="first"),
        event(status, occurredAt=text_at(3), createdAt=text_at(1), fileName="second"),
    )
    assert (lead, change.updated_at, change.created_at, change.file_name) == (0, at(9), at(2), "first")


def test_a_repeat_that_states_another_time_does_not_overtake_the_first_terminal_event() -> None:
    lead, change = folded(
        event("completed", occurredAt=text_at(9)),
        event("failed", occurredAt=text_at(8)),
        event("completed", occurredAt=text_at(7)),
    )
    assert (lead, change.status) == (1, Status.FAILED)


STATUSES = st.sampled_from(["pending", "processing", "completed", "failed"])
ANY_EVENT = st.builds(
    lambda status, occurred, created, name: event(
        status, occurredAt=text_at(occurred), createdAt=created and text_at(created - 1), fileName=name
    ),
    STATUSES,
    st.integers(1, 50),
    st.none() | st.just(1),
    st.none() | st.sampled_from(["a", "b"]),
)


@given(st.lists(ANY_EVENT, min_size=1, max_size=6))
def test_a_fold_invents_nothing_and_loses_nothing(events: list[ExportEvent]) -> None:
    lead, change = folded(*events)
    leader = events[lead]
    ranks = dict(zip(Status, (0, 1, 2, 2), strict=True))
    assert ranks[leader.status] == max(ranks[each.status] for each in events)
    of_leader = (leader.request_id, leader.status, leader.occurred_at)
    assert (change.request_id, change.status, change.updated_at) == of_leader
    for name, attribute in (("created_at", "created"), ("file_name", "file_name")):
        accepted, offered = getattr(change, name), {getattr(each, attribute) for each in events}
        assert accepted in offered
        assert (accepted is None) == (offered == {None})
    if leader.file_name is not None:
        assert change.file_name == leader.file_name
