"""The printed schemas are valid, and say the same as the code: about events, and about audit entries."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from handlers.events import ExportEvent
from handlers.expiry import audit_entry
from processor.cli.schema import audit_schema, draft_4_event_schema, event_schema, schema_app
from tests.audit.entries import entry
from tests.handlers.test_expiry import SOURCE

EVENT: dict[str, Any] = {
    "eventId": "9f0c",
    "requestId": "req-1",
    "status": "completed",
    "occurredAt": "2026-11-22T10:00:07.250Z",
    "createdAt": "2026-11-22T10:00:00.000Z",
    "fileName": "report.csv",
    "signedUrl": "https://example.test/report.csv?X-Amz-Signature=0",
}
ENTRY: dict[str, Any] = json.loads(entry("3f1a", "req-1").to_json())
MISSING = object()


def printed(*arguments: str) -> dict[str, Any]:
    """What the command prints."""
    result = CliRunner().invoke(schema_app, list(arguments))
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.output)
    return answer


EVENT_VALIDATOR = jsonschema.Draft202012Validator(event_schema())
AUDIT_VALIDATOR = jsonschema.Draft202012Validator(audit_schema())
DRAFT_4_VALIDATOR = jsonschema.Draft4Validator(draft_4_event_schema())


def changed(document: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, Any]:
    """The document with other values; MISSING takes the member away."""
    return {name: value for name, value in {**document, **changes}.items() if value is not MISSING}


@pytest.mark.parametrize(("contract", "title"), [("event", "ExportEvent"), ("audit", "AuditEntry")])
def test_the_command_prints_a_valid_schema_of_draft_2020_12(contract: str, title: str) -> None:
    document = printed(contract)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (document["type"], document["title"]) == ("object", title)
    assert "$id" not in document  # it is published nowhere
    jsonschema.Draft202012Validator.check_schema(document)


@pytest.mark.parametrize("arguments", [["invoice"], ["event", "--draft", "7"]], ids=str)
def test_another_contract_or_draft_is_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(schema_app, arguments).exit_code == 2


def test_draft_4_has_no_word_of_a_later_draft() -> None:
    document = printed("event", "--draft", "4")
    assert document["$schema"] == "http://json-schema.org/draft-04/schema#"
    jsonschema.Draft4Validator.check_schema(document)
    assert not {"if", "then", "const", "$defs", "examples", "contains"} & names_in(document)
    assert printed("event", "--draft", "2020-12") == printed("event")


def names_in(value: object) -> set[str]:
    """The names of all objects in a JSON value."""
    match value:
        case dict():
            return set(value).union(*map(names_in, value.values()))
        case list():
            return set().union(*map(names_in, value))
    return set()


BAD_EVENTS = [
    {"requestId": MISSING},
    {"status": MISSING},
    {"occurredAt": MISSING},
    {"requestId": ""},
    {"requestId": "r" * 257},
    {"requestId": 7},
    {"status": "done"},
    {"status": "PENDING"},
    {"status": 1},
    {"occurredAt": 1_795_341_607},
    {"createdAt": 1_795_341_607},
    {"eventId": 7},
    {"fileName": "f" * 1_025},
    {"fileName": ["report.csv"]},
    {"error": "an error of a completed export"},
    {"status": "failed"},  # with a signedUrl
]


@pytest.mark.parametrize("changes", BAD_EVENTS)
def test_bad_events_fail_in_the_schema_as_in_the_service(changes: Mapping[str, Any]) -> None:
    event = changed(EVENT, changes)
    with pytest.raises(ValidationError):
        ExportEvent.model_validate(event)
    for each in (EVENT_VALIDATOR, DRAFT_4_VALIDATOR):
        with pytest.raises(jsonschema.ValidationError):
            each.validate(event)


TEXTS = st.text(alphabet='a/é\U0001f600"\\\0', max_size=20)
ODD = st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS, max_size=1)
EVENTS = st.fixed_dictionaries(
    {
        "requestId": st.sampled_from(["r", "r" * 256, "\U0001f600" * 256]),
        "status": st.sampled_from(["pending", "processing", "completed", "failed"]),
        "occurredAt": st.sampled_from(["2026-11-22T10:00:07Z", "2026-11-22t11:00:07.123456+01:00"]),
    },
    optional={
        "createdAt": st.just("2026-11-22T10:00:00.000Z"),
        "eventId": st.just("e" * 200),
        "fileName": st.just("f" * 1_024),
        "signedUrl": st.just("https://example.test/?sig=0"),
        "error": st.just("e" * 5_000),
    },
)
SPOILED = st.dictionaries(st.sampled_from([*EVENT, "error", "other"]), ODD, max_size=1)


@given(EVENTS, SPOILED)
@example(EVENT, {})
@example(EVENT, {"somethingNew": {"of": ["the", "producer"]}})
@example(EVENT, {"status": "pending", "signedUrl": None, "createdAt": None})
@example(EVENT, {"status": "failed", "signedUrl": None, "error": "disk full"})
def test_the_schema_never_refuses_an_event_that_the_service_takes(
    event: dict[str, Any], spoiled: dict[str, Any]
) -> None:
    event = event | spoiled
    try:
        ExportEvent.model_validate(event)
    except ValidationError:
        return
    EVENT_VALIDATOR.validate(event)
    DRAFT_4_VALIDATOR.validate(event)


NEVER_NULL = {
    *("schemaVersion", "auditId", "action", "requestId", "finished", "hadSignedUrl", "deletedAt", "source")
}


def test_the_shard_of_an_entry_may_be_unknown() -> None:
    source = ENTRY["source"]
    AUDIT_VALIDATOR.validate(ENTRY | {"source": source | {"shardId": None}})
    assert not AUDIT_VALIDATOR.is_valid(ENTRY | {"source": changed(source, {"shardId": MISSING})})
    assert not AUDIT_VALIDATOR.is_valid(ENTRY | {"source": source | {"streamArn": None}})


@pytest.mark.parametrize("name", ENTRY)
def test_consumers_may_rely_on_every_field_and_on_eight_of_them_not_being_null(name: str) -> None:
    assert not AUDIT_VALIDATOR.is_valid(changed(ENTRY, {name: MISSING}))
    assert AUDIT_VALIDATOR.is_valid(changed(ENTRY, {name: None})) == (name not in NEVER_NULL)


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": 2},
        {"action": "export.lost"},
        {"deletionLagSeconds": -1},
        {"lastStatus": "done"},
        {"deletedAt": "2026-11-22T10:15:41Z"},
        {"actor": {"type": "Service"}},
        {"source": {"table": "export-status"}},
    ],
    ids=str,
)
def test_bad_entries_fail(changes: Mapping[str, Any]) -> None:
    assert not AUDIT_VALIDATOR.is_valid(changed(ENTRY, changes))


ATTRIBUTES = st.fixed_dictionaries({"S": TEXTS}) | st.fixed_dictionaries({"N": st.integers().map(str)}) | ODD
OWN_IMAGE = {
    "requestId": {"S": "req-1"},
    "status": {"S": "completed"},
    "createdAt": {"S": ENTRY["createdAt"]},
    "updatedAt": {"S": ENTRY["updatedAt"]},
    "ttl": {"N": "1795342500"},
    "signedUrl": {"S": EVENT["signedUrl"]},
    "fileName": {"S": "report.csv"},
}
IMAGES = st.dictionaries(st.sampled_from([*OWN_IMAGE, "error", "other"]), ATTRIBUTES) | st.just(OWN_IMAGE)
IDENTITIES = st.sampled_from(
    [
        None,
        {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
        {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
        {"type": 7},
        {},
    ]
)


@given(IMAGES, IDENTITIES, st.none() | st.just(1_795_342_541))
@example(OWN_IMAGE, {"type": "Service", "principalId": "dynamodb.amazonaws.com"}, 1_795_342_541)
def test_what_the_service_emits_validates_whatever_was_deleted(
    image: dict[str, Any], identity: dict[str, Any] | None, deleted_at: int | None
) -> None:
    record = {
        "eventID": "3f1a",
        "eventName": "REMOVE",
        "userIdentity": identity,
        "dynamodb": {
            "Keys": {"requestId": {"S": "req-1"}},
            "OldImage": image,
            "SequenceNumber": "100000000000000000001",
            "ApproximateCreationDateTime": deleted_at,
        },
    }
    found = audit_entry(record, source=SOURCE, read_at=datetime(2026, 11, 22, 10, 16, tzinfo=UTC))
    assert found is not None
    AUDIT_VALIDATOR.validate(json.loads(found.to_json()))
