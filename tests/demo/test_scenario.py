"""The demo's scenario is what it claims to be, judged by the contract's own decoder."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from processor.demo.expectations import SAFE_SECONDS, Sent, expected_endings, sent_too_close_to_the_end
from processor.demo.scenario import MIN_TTL_SECONDS, Sending, scenario

START = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
MANY = 120


def sendings(*, exports: int = MANY, ttl_seconds: int = 12, seed: int = 1) -> Sequence[Sending]:
    return scenario(exports=exports, ttl_seconds=ttl_seconds, seed=seed, start=START)


def at(sending: Sending) -> datetime:
    return START + timedelta(seconds=sending.after_seconds)


def test_the_same_seed_sends_the_same_and_another_one_something_else() -> None:
    assert sendings(seed=3) == sendings(seed=3)
    assert sendings(seed=3) != sendings(seed=4)


def test_messages_come_in_the_order_of_their_times() -> None:
    times = [sending.after_seconds for sending in sendings()]
    assert times == sorted(times)


@pytest.mark.parametrize("exports", [1, 9, 50, MANY])
def test_there_are_as_many_exports_as_asked_for(exports: int) -> None:
    events = [sending.event for sending in sendings(exports=exports) if sending.event]
    assert len({event["requestId"] for event in events}) == exports


def test_every_event_is_valid_when_it_is_sent_and_means_what_the_scenario_plans() -> None:
    for sending in sendings():
        if sending.event is not None:
            event = decode(sending.body, now=at(sending))
            assert event.request_id == sending.event["requestId"]
            assert event.status.value == sending.event["status"]
            assert event.signed_url == sending.event.get("signedUrl")


def test_every_poisoned_message_is_invalid() -> None:
    poisoned = [sending for sending in sendings() if sending.event is None]
    assert len(poisoned) >= 4
    for sending in poisoned:
        assert sending.rejected_as == "invalid"
        with pytest.raises(InvalidEvent):
            decode(sending.body, now=at(sending))


def test_everything_that_goes_wrong_in_practice_is_in_it() -> None:
    sent = [sending for sending in sendings() if sending.event]
    events = [sending.event for sending in sent if sending.event]
    courses = Counter(
        tuple(event["status"] for event in events if event["requestId"] == export)
        for export in {event["requestId"] for event in events}
    )
    finished = {"completed", "failed"}
    assert any(not finished & set(course) for course in courses), "one that never finishes"
    assert any(course[0] == "completed" and "pending" in course for course in courses), "one out of order"
    assert any(course[0] == "processing" for course in courses), "one that comes early"
    assert any(len(course) > len(set(course)) for course in courses), "repeats"
    assert any(finished <= set(course) for course in courses), "a contradiction"
    assert any(
        datetime.fromisoformat(event["occurredAt"]) < at(sending) - timedelta(seconds=5)
        for sending, event in zip(sent, events, strict=True)
    ), "one that comes too late"
    assert any("X-Amz-Signature" in event.get("error", "") for event in events), "a URL inside an error"


def test_events_travel_bare_in_sns_in_event_bridge_and_in_both() -> None:
    shapes: Counter[tuple[bool, bool]] = Counter()
    for sending in sendings():
        if sending.event is not None:
            outer = json.loads(sending.body)
            inner = json.loads(outer["Message"]) if "Message" in outer else outer
            shapes["Message" in outer, "detail-type" in inner] += 1
    assert set(shapes) == {(False, False), (True, False), (False, True), (True, True)}


@pytest.mark.parametrize("ttl_seconds", [MIN_TTL_SECONDS, 12, 30, 900])
def test_no_event_is_planned_too_close_to_the_end_for_a_certain_result(ttl_seconds: int) -> None:
    sent = [Sent(sending, at(sending)) for sending in sendings(ttl_seconds=ttl_seconds)]
    assert sent_too_close_to_the_end(sent, expected_endings(sent, ttl_seconds)) == 0


def test_an_event_that_slips_towards_the_end_of_its_export_is_counted() -> None:
    sent = [Sent(sending, at(sending)) for sending in sendings(ttl_seconds=MIN_TTL_SECONDS)]
    slipped = [Sent(each.sending, each.at + timedelta(seconds=SAFE_SECONDS)) for each in sent]
    assert sent_too_close_to_the_end(slipped, expected_endings(sent, MIN_TTL_SECONDS)) > 0
