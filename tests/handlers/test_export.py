"""The record of an export: items in and out, and the one ttl function."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.export import Export, MalformedItem, Status, cut_utf8, is_dead, stored_ttl, ttl_of
from handlers.timestamps import format_timestamp, parse_timestamp
from tests.handlers.making import CREATED, TTL_SECONDS, at, item

INSTANTS = st.datetimes(timezones=st.just(UTC)).map(format_timestamp).map(parse_timestamp)
TEXTS = st.text(max_size=20)


@st.composite
def exports(draw: st.DrawFn) -> Export:
    status = draw(st.sampled_from(Status))
    created_at = draw(INSTANTS)
    return Export(
        request_id=draw(TEXTS),
        status=status,
        created_at=created_at,
        updated_at=draw(INSTANTS),
        ttl=ttl_of(created_at, draw(st.integers(1, 10**6))),
        signed_url=draw(st.none() | TEXTS) if status is Status.COMPLETED else None,
        file_name=draw(st.none() | TEXTS),
        error=draw(st.none() | TEXTS) if status is Status.FAILED else None,
    )


@given(exports())
def test_an_export_written_is_the_export_read(export: Export) -> None:
    assert Export.from_item(export.to_item()) == export


def test_an_item_has_exactly_the_contract_s_attributes() -> None:
    whole = Export("req-1", Status.COMPLETED, CREATED, at(7.25), 1_795_342_500, "https://h/p?s", "report.csv")
    assert whole.to_item() == {
        "requestId": {"S": "req-1"},
        "status": {"S": "completed"},
        "createdAt": {"S": "2026-11-22T10:00:00.000Z"},
        "updatedAt": {"S": "2026-11-22T10:00:07.250Z"},
        "ttl": {"N": "1795342500"},
        "signedUrl": {"S": "https://h/p?s"},
        "fileName": {"S": "report.csv"},
    }


MALFORMED: list[tuple[dict[str, Any], str]] = [
    (item(status=None), "status must be pending, processing, completed or failed"),
    (item(status={"S": "done"}), "status must be pending, processing, completed or failed"),
    (item(status={"N": "1"}), "status must be pending, processing, completed or failed"),
    (item(ttl=None), "ttl must be a whole number of Unix seconds"),
    (item(ttl={"S": "1795342500"}), "ttl must be a whole number of Unix seconds"),
    (item(ttl={"N": "1795342500.5"}), "ttl must be a whole number of Unix seconds"),
    (item(createdAt=None), "createdAt must be a string"),
    (item(createdAt={"N": "1"}), "createdAt must be a string"),
    (item(createdAt={"S": "soon"}), "createdAt must be an RFC 3339 timestamp with an offset or Z"),
    (item(updatedAt=None), "updatedAt must be a string"),
    (item(updatedAt={"S": ""}), "updatedAt must be an RFC 3339 timestamp with an offset or Z"),
    (item(fileName={"N": "1"}), "fileName must be a string"),
    (item(fileName={"NULL": True}), "fileName must be a string"),
    (item(signedUrl={"S": "https://h"}), "signedUrl is allowed only with status completed"),
    (item("failed", signedUrl={"S": "https://h"}), "signedUrl is allowed only with status completed"),
    (item("completed", error={"S": "x"}), "error is allowed only with status failed"),
    (item("completed", signedUrl={"B": b"x"}), "signedUrl must be a string"),
    ({}, "ttl must be a whole number of Unix seconds"),
]


@pytest.mark.parametrize(("stored", "rule"), MALFORMED, ids=lambda value: str(value)[:60])
def test_an_item_that_breaks_the_contract_is_named_by_attribute_and_rule(
    stored: dict[str, Any], rule: str
) -> None:
    with pytest.raises(MalformedItem) as broken:
        Export.from_item(stored)
    assert str(broken.value) == rule


@pytest.mark.parametrize(
    ("number", "ttl"),
    [
        ("1795342500", 1_795_342_500),
        ("1795342500.0", 1_795_342_500),
        ("1.7953425E9", 1_795_342_500),
        ("-5", -5),
        ("0.5", None),
        ("NaN", None),
        ("sNaN", None),
        ("Infinity", None),
        ("x", None),
    ],
)
def test_a_stored_ttl_is_a_whole_number_or_none(number: str, ttl: int | None) -> None:
    assert stored_ttl({"ttl": {"N": number}}) == ttl


@given(INSTANTS, st.integers(1, 31_536_000))
def test_ttl_is_the_floor_of_created_at_plus_the_time_to_live(created_at: datetime, ttl_seconds: int) -> None:
    assert ttl_of(created_at, ttl_seconds) == ttl_seconds + math.floor(
        (created_at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    )


def test_an_item_is_dead_from_the_very_second_of_its_ttl() -> None:
    ttl = ttl_of(CREATED, TTL_SECONDS)
    assert not is_dead(ttl, at(TTL_SECONDS - 0.001))
    assert is_dead(ttl, at(TTL_SECONDS))
    assert ttl == ttl_of(at(0.999), TTL_SECONDS)


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_the_longest_beginning_that_fits(text: str, max_bytes: int) -> None:
    cut = cut_utf8(text, max_bytes)
    assert text.startswith(cut)
    assert len(cut.encode()) <= max_bytes
    if cut != text:
        assert len(text[: len(cut) + 1].encode()) > max_bytes
