"""What becomes of an event: every row of the contract's outcome table, tried in its order."""

from typing import Any

import pytest

from handlers.export import Status
from handlers.transitions import (
    Outcome,
    compare,
    decide,
    is_terminal,
    late_seconds,
    missing_fields,
    predecessors,
)
from tests.handlers.making import SIGNED_URL, TTL_SECONDS, at, event, item, text_at

CREATED_AT = text_at(0)


AGAINST = {  # an item that is pending, processing, completed, failed
    "pending": ("duplicate", "stale", "stale", "stale"),
    "processing": ("applied", "duplicate", "stale", "stale"),
    "completed": ("applied", "applied", "duplicate", "conflict"),
    "failed": ("applied", "applied", "conflict", "duplicate"),
}


@pytest.mark.parametrize("status", AGAINST)
@pytest.mark.parametrize("created_at", [None, CREATED_AT])
def test_against_a_living_item_the_two_statuses_decide(status: str, created_at: str | None) -> None:
    arriving = event(status, createdAt=created_at)
    for current, outcome in zip(AGAINST, AGAINST[status], strict=True):
        assert decide(arriving, item(current), now=at(60), ttl_seconds=TTL_SECONDS).value == outcome
        assert compare(Status(status), Status(current)).value == outcome


def test_statuses_before_and_after_another_follow_from_its_moves() -> None:
    for status, outcomes in AGAINST.items():
        before = [current for current, found in zip(AGAINST, outcomes, strict=True) if found == "applied"]
        assert [each.value for each in predecessors(Status(status))] == before
        assert is_terminal(Status(status)) == (status in {"completed", "failed"})


@pytest.mark.parametrize("seconds", [-300, -120, 0, 120, 600])
@pytest.mark.parametrize("status", ["processing", "completed"])
def test_clocks_of_producers_have_no_say_in_the_order(status: str, seconds: float) -> None:
    """The status decides, however far the producers' clocks are apart."""
    arriving = event(status, occurredAt=text_at(seconds), now=at(600))
    assert decide(arriving, item("pending"), now=at(60), ttl_seconds=TTL_SECONDS) is Outcome.APPLIED
    assert decide(arriving, item("failed"), now=at(60), ttl_seconds=TTL_SECONDS) is not Outcome.APPLIED


@pytest.mark.parametrize(
    ("status", "created_at", "now", "outcome"),
    [
        ("pending", None, 60, Outcome.APPLIED),
        ("pending", CREATED_AT, 60, Outcome.APPLIED),
        ("processing", CREATED_AT, 60, Outcome.APPLIED),
        ("completed", CREATED_AT, 899.999, Outcome.APPLIED),
        ("failed", CREATED_AT, 60, Outcome.APPLIED),
        ("completed", CREATED_AT, 900, Outcome.EXPIRED),
        ("pending", None, 900.999, Outcome.APPLIED),  # it occurred a second after the request
        ("pending", None, 901, Outcome.EXPIRED),
        ("processing", None, 60, Outcome.EARLY),
        ("completed", None, 900.999, Outcome.EARLY),
        ("completed", None, 901, Outcome.EXPIRED),
        ("failed", None, 86_400, Outcome.EXPIRED),
    ],
)
def test_without_an_item_created_at_and_age_decide(
    status: str, created_at: str | None, now: float, outcome: Outcome
) -> None:
    arriving = event(status, createdAt=created_at)
    assert decide(arriving, None, now=at(now), ttl_seconds=TTL_SECONDS) is outcome


def test_age_counts_in_whole_seconds_of_the_event_s_own_time() -> None:
    arriving = event("completed", occurredAt=text_at(1.9))
    assert decide(arriving, None, now=at(900.999), ttl_seconds=TTL_SECONDS) is Outcome.EARLY
    assert decide(arriving, None, now=at(901), ttl_seconds=TTL_SECONDS) is Outcome.EXPIRED


@pytest.mark.parametrize("status", ["pending", "processing", "completed", "failed"])
@pytest.mark.parametrize("current", ["pending", "processing", "completed", "failed"])
def test_a_dead_item_is_past_everything(status: str, current: str) -> None:
    arriving = event(status, occurredAt=text_at(890), now=at(900))
    assert decide(arriving, item(current), now=at(900), ttl_seconds=TTL_SECONDS) is Outcome.EXPIRED


def test_an_event_whose_own_ttl_is_past_is_expired_even_if_the_item_lives() -> None:
    arriving = event("completed", createdAt=CREATED_AT)
    living = item("pending", ttl={"N": str(int(at(5_000).timestamp()))})
    assert decide(arriving, living, now=at(900), ttl_seconds=TTL_SECONDS) is Outcome.EXPIRED


BROKEN: list[dict[str, Any]] = [
    item("pending", ttl=None),
    item("pending", ttl={"S": "9999999999"}),
    item("pending", status={"S": "done"}),
    item("pending", status=None),
    item("pending", createdAt=None),
    item("pending", updatedAt={"N": "1"}),
    item("pending", signedUrl={"S": "https://h"}),
    item("processing", error={"S": "x"}),
    item("pending", fileName={"N": "1"}),
]


@pytest.mark.parametrize("stored", BROKEN, ids=str)
@pytest.mark.parametrize("status", ["pending", "processing", "completed", "failed"])
def test_an_item_that_breaks_the_contract_is_a_conflict(stored: dict[str, Any], status: str) -> None:
    arriving = event(status, createdAt=CREATED_AT)
    assert decide(arriving, stored, now=at(60), ttl_seconds=TTL_SECONDS) is Outcome.CONFLICT


def test_a_broken_item_that_is_dead_is_only_expired() -> None:
    stored = item("pending", status={"S": "done"})
    assert decide(event("completed"), stored, now=at(900), ttl_seconds=TTL_SECONDS) is Outcome.EXPIRED


@pytest.mark.parametrize(
    ("created_at", "stored", "late"),
    [
        (CREATED_AT, None, 100.5),
        (None, item("pending"), 100.5),
        (None, None, 99.5),
        (CREATED_AT, item("pending", ttl=None), 100.5),
        (None, item("pending", ttl=None), 99.5),
    ],
)
def test_lateness_counts_from_the_ttl_that_expired(
    created_at: str | None, stored: dict[str, Any] | None, late: float
) -> None:
    arriving = event("completed", createdAt=created_at)
    assert late_seconds(arriving, stored, now=at(1_000.5), ttl_seconds=TTL_SECONDS) == late


def test_lateness_is_reported_in_milliseconds() -> None:
    arriving = event("completed", createdAt=CREATED_AT)
    assert late_seconds(arriving, None, now=at(900.123456), ttl_seconds=TTL_SECONDS) == 0.123


@pytest.mark.parametrize(
    ("outcome", "stored", "offered"),
    [
        (Outcome.DUPLICATE, item("completed"), {"fileName": "f", "signedUrl": SIGNED_URL}),
        (Outcome.DUPLICATE, item("completed", fileName={"S": "kept"}), {"signedUrl": SIGNED_URL}),
        (Outcome.DUPLICATE, item("completed", fileName={"S": "f"}, signedUrl={"S": "kept"}), {}),
        (Outcome.STALE, item("completed"), {"fileName": "f"}),
        (Outcome.STALE, item("completed", fileName={"S": ""}), {}),
        (Outcome.CONFLICT, item("failed"), {}),
        (Outcome.EXPIRED, item("completed"), {}),
        (Outcome.APPLIED, item("completed"), {}),
        (Outcome.EARLY, item("completed"), {}),
    ],
)
def test_duplicates_and_stale_events_offer_what_the_item_lacks(
    outcome: Outcome, stored: dict[str, Any], offered: dict[str, str]
) -> None:
    arriving = event("completed", fileName="f", signedUrl=SIGNED_URL)
    assert missing_fields(arriving, outcome, stored) == offered


def test_a_repeated_failure_offers_its_error() -> None:
    offered = missing_fields(event("failed", error="disk full"), Outcome.DUPLICATE, item("failed"))
    assert offered == {"error": "disk full"}
