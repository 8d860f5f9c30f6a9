"""ExportEvent: what is accepted, what is cut, and why the rest is refused (docs/contract.md, section 2)."""

import json
import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from handlers import events
from handlers.envelopes import InvalidEvent
from handlers.events import ExportEvent, decode, sent_timestamp
from handlers.export import Status
from tests.handlers.making import SECRET, SIGNED_URL, at, body, event, fields, text_at

NOW = at(60)
PRINTABLE = set(string.ascii_letters + string.digits + string.punctuation + " ")


def reason_for(text: str, *, now: datetime = NOW, **more: Any) -> str:
    with pytest.raises(InvalidEvent) as refused:
        decode(text, now=now, **more)
    reason = str(refused.value)
    assert set(reason) <= PRINTABLE
    assert 0 < len(reason) <= 256
    return reason


def test_an_event_with_everything_is_read() -> None:
    read = event(
        "completed",
        eventId="e-1",
        createdAt="2026-11-22T11:00:00.0009+01:00",
        fileName="report.csv",
        signedUrl=SIGNED_URL,
    )
    assert read == ExportEvent(
        requestId="req-1",
        status=Status.COMPLETED,
        occurredAt=text_at(1),
        createdAt=text_at(0),
        eventId="e-1",
        fileName="report.csv",
        signedUrl=SIGNED_URL,
    )
    assert (read.occurred_at, read.created_at) == (at(1), at(0))


def test_unknown_fields_are_ignored_and_null_means_absent() -> None:
    assert event("processing", priority=7, nested={"a": [1]}) == event("processing")
    nulls = dict.fromkeys(("createdAt", "eventId", "fileName", "signedUrl", "error"))
    assert decode(json.dumps({**fields("processing"), **nulls}), now=NOW) == event("processing")


def test_an_event_is_frozen() -> None:
    with pytest.raises(ValidationError):
        event().status = Status.FAILED  # type: ignore[misc] # that is the test


def test_a_pending_event_without_created_at_stands_for_its_own_time() -> None:
    assert event("pending").created == at(1)
    assert event("pending", createdAt=text_at(0)).created == at(0)
    assert event("processing").created is None
    assert event("processing").ttl(900) is None
    assert event("pending").ttl(900) == int(at(901).timestamp())


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"requestId": ""}, "requestId must not be empty"),
    ({"requestId": "r" * 257}, "requestId must have at most 256 characters"),
    ({"requestId": 7}, "requestId must be a JSON string"),
    ({"status": "done"}, "status must be pending, processing, completed or failed"),
    ({"status": 1}, "status must be pending, processing, completed or failed"),
    ({"status": [[]]}, "status must be pending, processing, completed or failed"),
    ({"occurredAt": 1763805600}, "occurredAt must be a JSON string"),
    ({"occurredAt": "2026-11-22T10:00:00"}, "occurredAt must be an RFC 3339 timestamp with an offset or Z"),
    (
        {"occurredAt": "2026-02-30T00:00:00Z"},
        "occurredAt must be a date that exists, between the years 1 and 9999 in UTC",
    ),
    ({"occurredAt": text_at(361)}, "occurredAt must not be more than 5 minutes in the future"),
    ({"createdAt": True}, "createdAt must be a JSON string"),
    ({"createdAt": text_at(302)}, "createdAt must not be more than 5 minutes after occurredAt"),
    ({"eventId": 12}, "eventId must be a JSON string"),
    ({"fileName": {"name": "x"}}, "fileName must be a JSON string"),
    ({"fileName": "f" * 1_025}, "fileName must have at most 1024 characters"),
    ({"status": "completed", "signedUrl": 5}, "signedUrl must be a JSON string"),
    (
        {"status": "completed", "signedUrl": "https://h/?" + "x" * 8_182},
        "signedUrl must have at most 8192 bytes",
    ),
    ({"status": "completed", "signedUrl": "\u00e9" * 4_097}, "signedUrl must have at most 8192 bytes"),
    ({"status": "failed", "error": ["x"]}, "error must be a JSON string"),
    ({"status": "failed", "signedUrl": SIGNED_URL}, "signedUrl is allowed only with status completed"),
    ({"status": "completed", "error": "x"}, "error is allowed only with status failed"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD_FIELDS, ids=lambda value: str(value)[:50])
def test_a_bad_field_is_named_with_its_rule(changes: dict[str, Any], reason: str) -> None:
    assert reason_for(json.dumps({**fields(), **changes})) == reason


@pytest.mark.parametrize("name", ["status", "occurredAt"])
def test_a_missing_field_is_named(name: str) -> None:
    assert reason_for(body(**{name: None})) == f"{name} is required"


@pytest.mark.parametrize("name", ["requestId", "status", "occurredAt"])
def test_a_required_field_that_is_null_is_refused(name: str) -> None:
    assert reason_for(json.dumps({**fields(), name: None})).startswith(f"{name} must be ")


@given(
    st.dictionaries(
        st.sampled_from([*fields(), "createdAt", "eventId", "fileName", "signedUrl", "error"]),
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False)
        | st.sampled_from(["pending", "completed", "failed", text_at(0), text_at(10_000), SIGNED_URL])
        | st.text(min_size=1).map(lambda text: SECRET + text)
        | st.lists(st.just(SECRET))
        | st.just({SECRET: SECRET}),
    )
)
def test_whatever_the_fields_hold_a_reason_is_printable_short_and_quotes_nothing(
    changes: dict[str, Any],
) -> None:
    reason = "accepted"
    try:
        decode(json.dumps({**fields(), **changes}), now=NOW)
    except InvalidEvent as refused:
        reason = str(refused)
    assert SECRET not in reason
    assert set(reason) <= PRINTABLE
    assert 0 < len(reason) <= 256


def test_what_no_rule_has_words_for_is_not_valid() -> None:
    with pytest.raises(ValidationError) as broken:
        ExportEvent.model_validate(7)
    assert events._sentence(broken.value) == "is not valid"


def test_limits_are_inclusive() -> None:
    read = event(
        "completed",
        requestId="\U0001f600" * 256,
        fileName="\U0001f600" * 1_024,
        signedUrl="\u00e9" * 4_096,
        occurredAt=text_at(360),
        createdAt=text_at(660),
    )
    assert len(read.request_id) == 256
    assert len(str(read.signed_url).encode()) == 8_192


def test_an_over_long_event_id_and_error_are_cut_and_the_event_is_accepted() -> None:
    read = event("failed", eventId="e" * 500, error="\u20ac" * 70_000)
    assert read.event_id == "e" * 128
    assert read.error == "\u20ac" * 1_365  # 3 bytes each; 4,096 bytes would halve the next one


def test_the_later_of_our_clock_and_the_queue_s_judges_the_future() -> None:
    ahead = body(occurredAt=text_at(400))
    assert reason_for(ahead, sent_at=at(50)) == "occurredAt must not be more than 5 minutes in the future"
    assert decode(ahead, now=NOW, sent_at=at(100)).occurred_at == at(400)
    assert decode(ahead, now=at(100), sent_at=at(0)).occurred_at == at(400)


def test_on_a_fifo_queue_created_at_is_required_of_what_is_not_pending() -> None:
    reason = "createdAt is required on a FIFO queue for an event that is not pending"
    assert reason_for(body("processing"), fifo=True) == reason
    assert decode(body("pending"), now=NOW, fifo=True) == event("pending")
    with_created_at = body("processing", createdAt=text_at(0))
    assert decode(with_created_at, now=NOW, fifo=True) == decode(with_created_at, now=NOW)


def test_credentials_are_not_in_the_event_s_representation() -> None:
    assert SECRET not in repr(event("completed", signedUrl=SIGNED_URL))
    assert SECRET not in repr(event("failed", error=f"PUT {SIGNED_URL} failed"))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1763805600123", datetime(2025, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("253402300800000", None),
        ("999999999999999", None),
        ("9999999999999999", None),
    ],
)
def test_a_sent_timestamp_that_cannot_be_used_counts_as_missing(
    text: str | None, meaning: datetime | None
) -> None:
    assert sent_timestamp(text) == meaning
