"""Results on moto and on DynamoDB Local: conflicts, expiry, lost answers, fill-ins and outages."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.aws.errors import Misconfigured, Transient
from processor.transitions.applier import Applied, Delivery
from tests.handlers.making import SIGNED_URL, at, body, item, text_at
from tests.handlers.test_transitions import BROKEN
from tests.transitions.rig import (
    FAR_DEADLINE,
    Clock,
    Scripted,
    Store,
    applier_on,
    deliver,
    delivery,
    outcomes,
    service_error,
    timeout,
)

CREATED_AT = text_at(0)


def applied(
    store: Store, client: Any, *deliveries: Delivery, now: float = 60, deadline: float = FAR_DEADLINE
) -> Applied:
    """What becomes of these deliveries, which arrive together, with single writes."""
    return applier_on(client, store.table, Clock(now)).apply(deliveries, deadline)


@pytest.mark.parametrize("stored", BROKEN, ids=range(len(BROKEN)))
def test_an_item_that_is_not_ours_is_a_conflict_and_stays_as_it_is(
    store: Store, stored: dict[str, Any]
) -> None:
    store.put(stored)
    for mode in store.modes:
        made = delivery(body("completed", createdAt=CREATED_AT, fileName="f"))
        result = deliver(applier_on(store.client, store.table, mode=mode), [made])[made[0].message_id]
        assert result.outcome is Outcome.CONFLICT
        assert result.reason.startswith("the stored item is not one of ours: ")
        assert store.item() == stored


@pytest.mark.parametrize("stored", [item("pending"), item("completed"), item("pending", status={"S": "?"})])
@pytest.mark.parametrize("status", ["pending", "processing", "completed", "failed"])
def test_a_dead_item_is_not_touched_and_the_event_is_expired(
    store: Store, stored: dict[str, Any], status: str
) -> None:
    store.put(stored)
    late = delivery(body(status, occurredAt=text_at(890), fileName="late"), now=at(950))
    [result] = applied(store, store.client, late, now=950).results
    # A pending event's own end would have been at 1,790: it is the item's that has passed.
    assert (result.outcome, result.item_present) == (Outcome.EXPIRED, True)
    assert result.late_seconds == 50
    assert store.item() == stored


def test_events_whose_end_comes_before_their_write_are_late_by_that_end(store: Store) -> None:
    times = iter([899.0])

    class Hastening(Clock):
        def __call__(self) -> datetime:
            return at(next(times, 905.0))

    pair = [
        delivery(body("pending", occurredAt=CREATED_AT)),
        delivery(body("processing", occurredAt=text_at(700)), now=at(700)),
    ]
    results = deliver(applier_on(store.client, store.table, Hastening()), pair)
    assert {result.outcome for result in results.values()} == {Outcome.EXPIRED}
    assert {result.late_seconds for result in results.values()} == {5.0}
    assert store.item() is None


def expired_and_fresh() -> list[Delivery]:
    expired = [
        delivery(body("completed", requestId=f"late-{n}", createdAt=CREATED_AT), now=at(1_000))
        for n in range(40)
    ]
    fresh = [delivery(body(requestId=f"r{n}", occurredAt=text_at(999)), now=at(1_000)) for n in range(10)]
    return expired + fresh


@pytest.mark.parametrize("mode", ["single", "batch"])
def test_expired_events_do_not_hide_that_the_table_is_silent(store: Store, mode: str) -> None:
    client = Scripted(None, *[timeout()] * 99)
    applier = applier_on(client, store.table, Clock(1_000), mode=mode)
    results, outage = applier.apply(expired_and_fresh(), FAR_DEADLINE)
    assert Counter(result.outcome for result in results) == {Outcome.EXPIRED: 40, Outcome.RETRY: 10}
    assert isinstance(outage, Transient)
    assert "batch_get_item" not in client.calls
    assert len(client.calls) == (3 if mode == "single" else 3 + 3)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ValidationException"])
def test_a_look_up_that_is_refused_pauses_nothing(store: Store, code: str) -> None:
    client = Scripted(store.client, *[service_error(code)] * 99, only="batch_get_item")
    results, outage = applied(store, client, *expired_and_fresh(), now=1_000)
    assert Counter(result.outcome for result in results) == {Outcome.EXPIRED: 40, Outcome.APPLIED: 10}
    assert outage is None
    assert client.count("batch_get_item") == 1


@pytest.mark.parametrize(
    ("late_too", "deadline", "calls"),
    [(True, FAR_DEADLINE, 1), (False, FAR_DEADLINE, 0), (True, -1.0, 0)],
    ids=["a silent table is asked once", "not while the backlog is old", "not without time"],
)
def test_expired_events_cost_at_most_one_question(
    store: Store, *, late_too: bool, deadline: float, calls: int
) -> None:
    client = Scripted(None, *[timeout()] * 99)
    applier = applier_on(client, store.table, Clock(1_000))
    look_up = applier.look_up(late_too=late_too)
    results, outage = applier.apply(expired_and_fresh()[:40], deadline, look_up)
    assert {(result.outcome, result.item_present) for result in results} == {(Outcome.EXPIRED, None)}
    assert client.calls == ["batch_get_item"] * calls
    assert isinstance(outage, Transient) == (calls > 0)


def test_all_expired_events_of_a_batch_are_looked_up_by_one_call(store: Store) -> None:
    client = Scripted(store.client)
    store.put(item(requestId={"S": "late-7"}))
    results, _ = applied(store, client, *expired_and_fresh()[:40], now=1_000)
    found = {result.event.request_id: result.item_present for result in results if result.event}
    assert found == {f"late-{number}": number == 7 for number in range(40)}
    assert {result.late_seconds for result in results} == {100.0}
    assert client.calls == ["batch_get_item"]


@pytest.mark.parametrize("status", ["pending", "processing", "completed", "failed"])
def test_a_write_whose_answer_was_lost_is_a_duplicate(store: Store, clock: Clock, status: str) -> None:
    text = body(status, createdAt=CREATED_AT, fileName="f")
    applier = applier_on(Scripted(store.client, ("after", timeout())), store.table, clock)
    assert outcomes(applier, text) == [Outcome.DUPLICATE]
    assert store.item() == item(status, fileName={"S": "f"})


def test_of_two_receivers_that_hold_one_event_one_applies_it(store: Store) -> None:
    both_are_about_to_write = threading.Barrier(2, timeout=60)
    client = Scripted(store.client)
    client.before_call = both_are_about_to_write.wait
    text = body("completed", createdAt=CREATED_AT)
    with ThreadPoolExecutor(2) as receivers:
        found = [receivers.submit(outcomes, applier_on(client, store.table), text) for _ in range(2)]
        [first], [second] = [each.result() for each in found]
    assert {first, second} == {Outcome.APPLIED, Outcome.DUPLICATE}
    assert store.item() == item("completed")


def test_what_dynamodb_refuses_of_one_event_is_invalid_and_its_neighbours_go_on(store: Store) -> None:
    pair = [delivery(body(status, createdAt=CREATED_AT)) for status in ("completed", "pending")]
    other = delivery(body(requestId="other"))
    client = Scripted(store.client, service_error("ValidationException"))
    results, outage = applied(store, client, *pair, other)
    found = {result.message.message_id: result for result in results}
    assert [found[made.message_id].outcome for made, _ in (*pair, other)] == [
        Outcome.INVALID,
        Outcome.APPLIED,
        Outcome.APPLIED,
    ]
    assert outage is None
    assert found[pair[0][0].message_id].reason == (
        "the item must be one that DynamoDB takes (UpdateItem: ValidationException)"
    )


# Fill-ins


@pytest.mark.parametrize(
    ("stored", "arriving", "outcome", "filled"),
    [
        (item("completed"), body("processing", fileName="f"), Outcome.STALE, {"fileName": {"S": "f"}}),
        (
            item("completed"),
            body("completed", fileName="f", signedUrl=SIGNED_URL),
            Outcome.DUPLICATE,
            {"fileName": {"S": "f"}, "signedUrl": {"S": SIGNED_URL}},
        ),
        (item("completed", fileName={"S": "kept"}), body("processing", fileName="f"), Outcome.STALE, {}),
        (item("failed"), body("completed", fileName="f", signedUrl=SIGNED_URL), Outcome.CONFLICT, {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_duplicates_and_stale_events_fill_in_what_is_missing(
    store: Store,
    stored: dict[str, Any],
    arriving: str,
    outcome: Outcome,
    filled: dict[str, Any],
) -> None:
    store.put(stored)
    assert outcomes(applier_on(store.client, store.table), arriving) == [outcome]
    assert store.item() == stored | filled


def test_of_two_that_offer_another_name_the_first_to_arrive_stands(store: Store) -> None:
    store.put(item("completed"))
    applier = applier_on(store.client, store.table)
    found = outcomes(applier, body("processing", fileName="first"), body("pending", fileName="second"))
    assert found == [Outcome.STALE] * 2
    assert store.item() == item("completed", fileName={"S": "first"})


def test_events_of_one_export_in_hand_are_judged_by_the_one_write(store: Store) -> None:
    applier = applier_on(store.client, store.table)
    found = outcomes(
        applier,
        body("pending", occurredAt=CREATED_AT),
        body("completed", occurredAt=text_at(3), signedUrl=SIGNED_URL),
        body("failed", occurredAt=text_at(4), error="disk full"),
        body("processing", fileName="f"),
        body("completed", occurredAt=text_at(3)),
    )
    assert [outcome.value for outcome in found] == ["stale", "applied", "conflict", "stale", "duplicate"]
    assert store.item() == item(
        "completed", updatedAt={"S": text_at(3)}, fileName={"S": "f"}, signedUrl={"S": SIGNED_URL}
    )


def test_a_fill_in_that_fails_keeps_only_the_messages_that_offered_something(store: Store) -> None:
    store.put(item("completed"))
    client = Scripted(store.client, None, *[timeout()] * 3)
    applier = applier_on(client, store.table)
    offering, empty = delivery(body("processing", fileName="f")), delivery(body("pending"))
    results = deliver(applier, [offering, empty])
    assert results[offering[0].message_id].outcome is Outcome.RETRY
    assert results[empty[0].message_id].outcome is Outcome.STALE
    assert outcomes(applier, body("processing", fileName="f")) == [Outcome.STALE]
    assert store.item() == item("completed", fileName={"S": "f"})


def test_a_fill_in_for_which_there_is_no_time_keeps_the_message(store: Store) -> None:
    store.put(item("completed"))
    client = Scripted(store.client)
    applier = applier_on(client, store.table, monotonic=lambda: 2.0 * len(client.calls))
    results, outage = applier.apply([delivery(body("processing", fileName="f"))], 1.0)
    assert [(result.outcome, result.untried) for result in results] == [(Outcome.RETRY, True)]
    assert outage is None
    assert store.item() == item("completed")


# Outages


@pytest.mark.parametrize("mode", ["single", "batch"])
def test_a_table_that_is_down_costs_one_event_s_tries_and_every_message_stays(
    store: Store, mode: str
) -> None:
    client = Scripted(None, *[timeout()] * 99)
    applier = applier_on(client, store.table, mode=mode)
    results, outage = applier.apply(pending(50), FAR_DEADLINE)
    assert [result.outcome for result in results] == [Outcome.RETRY] * 50
    assert isinstance(outage, Transient)
    assert len(client.calls) == (3 if mode == "single" else 3 + 3), "UpdateItem is asked too"


def pending(number: int) -> list[Delivery]:
    return [delivery(body(requestId=f"r{index}")) for index in range(number)]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_access_denied_pauses_polling_even_if_an_earlier_write_passed(store: Store, code: str) -> None:
    results, outage = applied(store, Scripted(store.client, None, service_error(code)), *pending(3))
    assert [result.outcome for result in results] == [Outcome.APPLIED, Outcome.RETRY, Outcome.RETRY]
    assert isinstance(outage, Misconfigured)


ONE_ITEM = ["ProvisionedThroughputExceededException", "ThrottlingException", "TransactionConflictException"]


def test_one_throttled_export_does_not_pause_polling_while_others_pass(store: Store) -> None:
    results, outage = applied(store, Scripted(store.client, *[service_error(ONE_ITEM[0])] * 3), *pending(3))
    assert [result.outcome for result in results] == [Outcome.RETRY, Outcome.APPLIED, Outcome.APPLIED]
    assert outage is None
    _, outage = applied(store, Scripted(store.client, *[service_error(ONE_ITEM[0])] * 6), *pending(2))
    assert isinstance(outage, Transient), "no other was answered"


@pytest.mark.parametrize("code", ONE_ITEM)
@pytest.mark.parametrize(
    ("probe", "found"),
    [(None, "None"), (service_error("RequestLimitExceeded"), "UpdateItem: RequestLimitExceeded")],
)
def test_of_an_export_that_fails_alone_for_its_own_item_a_probe_tells_whether_polling_pauses(
    store: Store, code: str, probe: Exception | None, found: str
) -> None:
    """As in a FIFO step, which may hold one export."""
    client = Scripted(store.client, *[service_error(code)] * 3, probe)
    pair = [delivery(body("pending")), delivery(body("processing"))]
    results, outage = applied(store, client, *pair)
    assert [result.outcome for result in results] == [Outcome.RETRY] * 2
    assert str(outage) == found
    assert client.calls == ["update_item"] * 4, "three tries, and a probe of another key"


def test_a_silent_table_pauses_polling_for_one_export_without_a_probe(store: Store) -> None:
    client = Scripted(None, *[timeout()] * 9)
    _, outage = applied(store, client, *pending(1))
    assert str(outage) == "UpdateItem: ReadTimeoutError"
    assert len(client.calls) == 3


def test_what_cannot_begin_before_the_deadline_says_nothing_of_the_table(store: Store) -> None:
    client = Scripted(store.client)
    results, outage = applied(store, client, *pending(1), deadline=-1.0)
    assert [(result.outcome, result.untried) for result in results] == [(Outcome.RETRY, True)]
    assert (outage, client.calls) == (None, [])
