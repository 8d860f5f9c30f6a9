"""The demo's scenario is what it claims to be, judged by the contract's own decoder."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from processor.demo.expectations import expected_endings, uncertain_exports
from processor.demo.scenario import MIN_TTL_SECONDS, Sending, scenario

START = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)


def sendings(*, exports: int = 120, ttl_seconds: int = 12, seed: int = 1) -> Sequence[Sending]:
    return scenario(exports=exports, ttl_seconds=ttl_seconds, seed=seed, start=START)


def test_the_same_seed_sends_the_same_and_another_one_something_else() -> None:
    assert sendings(seed=3) == sendings(seed=3)
    assert sendings(seed=3) != sendings(seed=4)


@pytest.mark.parametrize("exports", [1, 9, 120])
def test_as_many_exports_as_asked_for_come_in_the_order_of_their_times(exports: int) -> None:
    sent = sendings(exports=exports)
    assert len({each.event["requestId"] for each in sent if each.event}) == exports
    assert [each.at for each in sent] == sorted(each.at for each in sent)


def test_every_message_is_an_event_as_planned_or_invalid() -> None:
    poisoned = 0
    for sending in sendings():
        if sending.event is None:
            poisoned += 1
            assert sending.rejected_as == "invalid"
            with pytest.raises(InvalidEvent):
                decode(sending.body, now=sending.at)
        else:
            event = decode(sending.body, now=sending.at)
            assert (event.request_id, event.status.value, event.signed_url) == (
                sending.event["requestId"],
                sending.event["status"],
                sending.event.get("signedUrl"),
            )
    assert poisoned >= 4


def test_everything_that_goes_wrong_in_practice_is_in_it() -> None:
    sent = [(sending.at, sending.event) for sending in sendings() if sending.event]
    courses = [
        [event["status"] for _, event in sent if event["requestId"] == export]
        for export in {event["requestId"] for _, event in sent}
    ]
    finished = {"completed", "failed"}
    assert any(not finished & set(course) for course in courses), "one that never finishes"
    assert any(course[0] == "completed" and "pending" in course for course in courses), "one out of order"
    assert any(course[0] == "processing" for course in courses), "one that comes early"
    assert any(len(course) > len(set(course)) for course in courses), "repeats"
    assert any(finished <= set(course) for course in courses), "a contradiction"
    late = timedelta(seconds=5)
    assert any(datetime.fromisoformat(event["occurredAt"]) < at - late for at, event in sent), "too late"
    assert any("X-Amz-Signature" in event.get("error", "") for _, event in sent), "a URL inside an error"


def test_events_travel_bare_in_sns_in_event_bridge_and_in_both() -> None:
    shapes: Counter[tuple[bool, bool]] = Counter()
    for sending in sendings():
        if sending.event is not None:
            outer = json.loads(sending.body)
            inner = json.loads(outer["Message"]) if "Message" in outer else outer
            shapes["Message" in outer, "detail-type" in inner] += 1
    assert set(shapes) == {(False, False), (True, False), (False, True), (True, True)}


@pytest.mark.parametrize("ttl_seconds", [MIN_TTL_SECONDS, 12, 900])
def test_only_an_export_whose_event_is_handled_too_late_is_uncertain(ttl_seconds: int) -> None:
    sent = sendings(ttl_seconds=ttl_seconds)
    endings = expected_endings(sent, ttl_seconds)
    handled = {each.event["eventId"]: each.at.timestamp() + 1 for each in sent if each.event}
    assert uncertain_exports(sent, handled, endings) == set()
    slow = next(each.event for each in sent if each.event)
    handled[slow["eventId"]] = endings[slow["requestId"]].expires
    assert uncertain_exports(sent, handled, endings) == {slow["requestId"]}
