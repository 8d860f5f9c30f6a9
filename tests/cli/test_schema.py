"""The printed schemas are valid, and say the same as the code: about events, and about audit entries."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from handlers.events import ExportEvent
from processor.cli.schema import audit_schema, draft_4_event_schema, event_schema, schema_app
from tests.audit.entries import entry

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
    names = set(re.findall(r'"([$\w]+)":', json.dumps(document)))
    assert not {"if", "then", "const", "$defs", "examples", "contains"} & names
    assert printed("event", "--draft", "2020-12") == printed("event")


BAD_EVENTS: list[dict[str, Any]] = [
    *({name: MISSING} for name in ("requestId", "status", "occurredAt")),
    *({"requestId": value} for value in ("", "r" * 257, 7)),
    *({"status": value} for value in ("done", "PENDING", 1)),
    *({"occurredAt": 1_795_341_607}, {"createdAt": 1_795_341_607}, {"eventId": 7}),
    *({"fileName": "f" * 1_025}, {"fileName": ["report.csv"]}),
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
        *(
            {"schemaVersion": 2},
            {"action": "export.lost"},
            {"deletionLagSeconds": -1},
            {"lastStatus": "done"},
        ),
        *({"deletedAt": "2026-11-22T10:15:41Z"}, {"actor": {"type": "Service"}}, {"source": {"table": "x"}}),
    ],
    ids=str,
)
def test_bad_entries_fail(changes: Mapping[str, Any]) -> None:
    assert not AUDIT_VALIDATOR.is_valid(changed(ENTRY, changes))
