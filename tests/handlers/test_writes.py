"""The condition of a write agrees with `decide`, and a fill-in changes nothing else."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.events import ExportEvent
from handlers.export import Item
from handlers.timestamps import format_timestamp
from handlers.transitions import Outcome, decide, fold, would_apply
from handlers.writes import (
    Statement,
    fill_in_arguments,
    probe_arguments,
    probe_statement,
    proof_insert,
    proof_updates,
    statement,
    update_arguments,
)
from tests.handlers.making import CREATED, SIGNED_URL, TTL_SECONDS, at, event, item, text_at
from tests.handlers.model_table import ConditionRefused, ModelTable

NOW_SECONDS = st.sampled_from([0, 1, 60, 899, 899.9, 900, 901])
STATUSES = ["pending", "processing", "completed", "failed"]


@st.composite
def events(draw: st.DrawFn) -> ExportEvent:
    status = draw(st.sampled_from(STATUSES))
    return event(
        status,
        occurredAt=text_at(draw(st.sampled_from([0, 1, 5.5]))),
        createdAt=draw(st.sampled_from([None, text_at(0), text_at(0.999)])),
        fileName=draw(st.sampled_from([None, "", "f", "kept"])),
        signedUrl=draw(st.sampled_from([None, SIGNED_URL])) if status == "completed" else None,
        error=draw(st.sampled_from([None, "", "disk full"])) if status == "failed" else None,
    )


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """Sound items, and ones with one or two attributes that a condition has to see."""
    living = [item()["ttl"], {"N": "99999999999"}]
    file_names = [None, {"S": "kept"}, {"S": "f"}]
    changes: dict[str, Any] = {
        "ttl": draw(st.sampled_from([*living, {"N": "1"}])),
        "fileName": draw(st.sampled_from(file_names)),
    }
    broken: st.SearchStrategy[Any] = st.sampled_from(
        [None, {"NULL": True}, {"N": "7"}, {"S": ""}, {"S": "soon"}, {"L": []}]
    )
    names = ["status", "createdAt", "updatedAt", "ttl", "signedUrl", "error", "fileName"]
    for name in draw(st.lists(st.sampled_from(names), max_size=2) | st.just([])):
        changes[name] = draw(broken)
    return item(draw(st.sampled_from(STATUSES)), **changes)


def written(stored: Item | None, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """The item after a write, None if its condition refused it."""
    table = ModelTable({"req-1": dict(stored)} if stored is not None else {})
    try:
        table.update_item(arguments)
    except ConditionRefused:
        return None
    return table.items["req-1"]


@given(events(), st.none() | items(), NOW_SECONDS)
def test_a_write_takes_effect_exactly_where_decide_applies_it(
    arriving: ExportEvent, stored: dict[str, Any] | None, seconds: float
) -> None:
    now: datetime = at(seconds)
    outcome = decide(arriving, stored, now=now, ttl_seconds=TTL_SECONDS)
    _, change = fold([arriving], TTL_SECONDS)
    after = written(stored, update_arguments(change, now))
    # What expired by its own ttl is never written: the writer looks before each attempt.
    if change.ttl is None or change.ttl > now.timestamp():
        assert (after is not None) == (outcome is Outcome.APPLIED)
        assert would_apply(change, stored, now) is (outcome is Outcome.APPLIED)


@pytest.mark.parametrize(
    ("stored", "created", "seconds", "expected"),
    [
        pytest.param(None, text_at(0), 60, True, id="it creates the item"),
        pytest.param(None, None, 60, False, id="no event has createdAt"),
        pytest.param(item("pending"), None, 60, True, id="it moves the item forward"),
        pytest.param(item("processing"), None, 60, False, id="the item is there already"),
        pytest.param(item("failed"), None, 60, False, id="the item is further on"),
        pytest.param(item("pending"), None, 900, False, id="the item is dead"),
        pytest.param(item("pending", createdAt={"N": "7"}), None, 60, False, id="the item is broken"),
    ],
)
def test_a_change_would_apply_where_it_creates_or_moves_forward(
    stored: Item | None, created: str | None, seconds: float, *, expected: bool
) -> None:
    _, change = fold([event("processing", createdAt=created)], TTL_SECONDS)
    assert would_apply(change, stored, at(seconds)) is expected


@given(events(), st.none() | items(), NOW_SECONDS, st.booleans())
@example(event("completed", fileName="kept"), item("processing", fileName={"S": "kept"}), 60, False)
def test_a_statement_takes_effect_only_where_update_item_does_and_leaves_the_same_item(
    arriving: ExportEvent,
    stored: dict[str, Any] | None,
    seconds: float,
    with_pending: bool,
) -> None:
    _, change = fold([arriving], TTL_SECONDS)
    begins = change.begins or (with_pending and change.created_at is not None)
    made = statement(replace(change, begins=begins), "status-table", at(seconds))
    table = ModelTable({"req-1": dict(stored)} if stored is not None else {})
    code = None
    try:
        table.execute(made.text, made.parameters)
    except ConditionRefused as refused:
        code = refused.code
    assert made.text.count("?") == len(made.parameters)
    assert made.text.split()[1 if made.text.startswith("UPDATE") else 2] == '"status-table"'
    after = written(stored, update_arguments(change, at(seconds)))
    other = arriving.file_name is not None and (stored or {}).get("fileName") != {"S": arriving.file_name}
    keeps_file_name = other and "fileName" in (stored or {})
    if after is not None and (stored is None) is begins and not keeps_file_name:
        assert code is None, "the batch does the common case by itself"
    assert code in {None, "DuplicateItem" if begins else "ConditionalCheckFailed"}
    assert table.items.get("req-1") == (stored if code else after)


@given(events(), st.none() | items(), NOW_SECONDS)
def test_what_is_written_is_the_event_s_and_what_was_there_stays(
    arriving: ExportEvent, stored: dict[str, Any] | None, seconds: float
) -> None:
    _, change = fold([arriving], TTL_SECONDS)
    after = written(stored, update_arguments(change, at(seconds)))
    if after is None:
        return
    before = stored or {}
    kept = {name: before[name] for name in ("requestId", "createdAt", "ttl", "fileName") if name in before}
    assert after == before | arriving_item(arriving) | kept


def arriving_item(arriving: ExportEvent) -> dict[str, Any]:
    """What an event writes if it creates the item."""
    texts = {
        "requestId": arriving.request_id,
        "status": arriving.status.value,
        "createdAt": arriving.created and format_timestamp(arriving.created),
        "updatedAt": format_timestamp(arriving.occurred_at),
        "fileName": arriving.file_name,
        "signedUrl": arriving.signed_url,
        "error": arriving.error,
    }
    ttl = {"ttl": {"N": str(arriving.ttl(TTL_SECONDS))}} if arriving.created else {}
    return ttl | {name: {"S": text} for name, text in texts.items() if text is not None}


def test_created_at_and_ttl_never_change_once_written() -> None:
    stored = item("pending", createdAt={"S": text_at(-5)}, ttl={"N": str(int(at(895).timestamp()))})
    _, change = fold([event("completed", createdAt=text_at(0))], TTL_SECONDS)
    after = written(stored, update_arguments(change, at(60)))
    assert after is not None
    assert after["status"] == {"S": "completed"}
    assert (after["createdAt"], after["ttl"]) == (stored["createdAt"], stored["ttl"])


def test_a_refused_write_answers_with_the_item_that_refused_it() -> None:
    _, change = fold([event("completed")], TTL_SECONDS)
    assert update_arguments(change, at(60))["ReturnValuesOnConditionCheckFailure"] == "ALL_OLD"


@pytest.mark.parametrize(
    ("stored", "fields", "filled"),
    [
        (item("completed"), {"fileName": "f"}, True),
        (item("processing"), {"fileName": "f"}, True),
        (item("completed"), {"signedUrl": SIGNED_URL}, True),
        (item("failed"), {"error": "x"}, True),
        (item("completed", fileName={"S": "kept"}), {"fileName": "f", "signedUrl": SIGNED_URL}, True),
        (item("completed", fileName={"S": "kept"}), {"fileName": "f"}, False),
        (item("failed"), {"signedUrl": SIGNED_URL}, False),
        (item("completed"), {"error": "x"}, False),
        (None, {"fileName": "f"}, False),
        (item("completed", ttl={"N": "1"}), {"fileName": "f"}, False),
        (item("completed", ttl=None), {"fileName": "f"}, False),
    ],
)
def test_a_fill_in_adds_what_is_missing_to_a_living_item_and_nothing_else(
    stored: dict[str, Any] | None, fields: dict[str, str], filled: bool
) -> None:
    after = written(stored, fill_in_arguments("req-1", fields, at(60)))
    if filled:
        assert after == {name: {"S": text} for name, text in fields.items()} | (stored or {})
    else:
        assert after is None


@given(
    items(), st.dictionaries(st.sampled_from(["fileName", "signedUrl"]), st.text(), min_size=1), NOW_SECONDS
)
def test_a_fill_in_never_changes_an_attribute_that_is_there(
    stored: dict[str, Any], fields: dict[str, str], seconds: float
) -> None:
    after = written(stored, fill_in_arguments("req-1", fields, at(seconds)))
    if after is not None:
        assert stored.items() <= after.items()
        assert after.keys() <= stored.keys() | fields.keys()


def test_a_statement_states_values_as_parameters_only() -> None:
    hostile = event(
        "completed", requestId="a' OR 'a'='a", fileName='x" = ?', signedUrl="https://h'; DROP", createdAt=None
    )
    made = statement(fold([hostile], TTL_SECONDS)[1], "status-table", CREATED)
    assert not any(text in made.text for text in ("OR 'a'", 'x" = ?', "DROP"))
    assert made.text.count("?") == len(made.parameters)


def test_a_later_event_folded_with_the_first_one_begins_the_export() -> None:
    _, change = fold([event("pending", createdAt=text_at(0)), event("completed")], TTL_SECONDS)
    made = statement(change, "status-table", at(60))
    assert made.text.startswith("INSERT INTO ")
    assert made.parameters[0] == {"S": "completed"}


def test_a_first_change_without_the_time_of_the_request_is_no_statement() -> None:
    _, change = fold([event("pending")], TTL_SECONDS)
    with pytest.raises(ValueError, match=r"^a change that begins an export must say when it was requested$"):
        statement(replace(change, created_at=None, ttl=None), "status-table", at(60))


def test_the_probes_ask_for_what_no_item_has() -> None:
    assert probe_arguments("absent") == {
        "Key": {"requestId": {"S": "absent"}},
        "UpdateExpression": "SET #status = :status",
        "ConditionExpression": "attribute_exists(requestId) AND #status = :status",
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": {":status": {"S": "probe"}},
    }
    assert probe_statement("absent", "status-table") == Statement(
        'UPDATE "status-table" SET "status" = ? WHERE "requestId" = ? AND "status" IN (?) AND "ttl" > ?',
        ({"S": "probe"}, {"S": "absent"}, {"S": "probe"}, {"N": "0"}),
    )


def test_the_proof_s_updates_are_those_of_every_change_of_an_export_that_is_there() -> None:
    keys = iter(range(99))
    made = proof_updates("status-table", lambda: f"absent-{next(keys)}", at(60))
    nothing: dict[str, Any] = {}
    changes = [
        event(status, requestId="x", occurredAt=text_at(60), fileName=file_name, **text)
        for status, texts in (
            ("processing", [nothing]),
            ("completed", [nothing, {"signedUrl": "proof"}]),
            ("failed", [nothing, {"error": "proof"}]),
        )
        for file_name in (None, "proof")
        for text in texts
    ]
    expected = [
        statement(
            replace(fold([each], TTL_SECONDS)[1], request_id=f"absent-{number}"), "status-table", at(60)
        )
        for number, each in enumerate(changes)
    ]
    assert list(made) == expected


def test_the_proof_s_insert_is_one_of_a_new_export_with_an_empty_key() -> None:
    _, change = fold([event("pending", occurredAt=text_at(0), createdAt=text_at(0))], TTL_SECONDS)
    ttl = int(at(0).timestamp())
    assert proof_insert("status-table", at(0)) == statement(
        replace(change, request_id="", ttl=ttl), "status-table", at(0)
    )
    assert proof_insert("status-table", at(0.9)).parameters[-1] == {"N": str(ttl)}
