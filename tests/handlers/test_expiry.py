"""A stream record becomes an audit entry (docs/contract.md, section 4), whatever its image holds."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.audit import MAX_ENTRY_JSON_BYTES, entry_schema
from handlers.expiry import ShardSource, audit_entry

DELETED = 1_795_341_641  # 41 s after the ttl below
TTL = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
SECRET = "5e0f00c0ffee"
SIGNED = f"https://bucket.s3.amazonaws.com/report.csv?X-Amz-Signature={SECRET}"
SOURCE = ShardSource(
    table="export-status",
    region="us-east-1",
    stream_arn="arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T09:00:00.000",
    shard_id="shardId-00000001795338000000-0a1b2c3d",
)
READ_AT = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)
SCHEMA = entry_schema()


def image(**changes: Any) -> dict[str, Any]:
    """An item as the table holds it; None takes an attribute out."""
    item: dict[str, Any] = {
        "requestId": {"S": "req-1"},
        "status": {"S": "completed"},
        "createdAt": {"S": "2026-11-22T09:45:00.000Z"},
        "updatedAt": {"S": "2026-11-22T09:45:07.250Z"},
        "ttl": {"N": "1795341600"},
        "fileName": {"S": "report.csv"},
        "signedUrl": {"S": SIGNED},
    } | changes
    return {name: value for name, value in item.items() if value is not None}


def record(
    old: dict[str, Any] | None = None, *, event: str = "REMOVE", identity: Any = TTL, **change: Any
) -> dict[str, Any]:
    """A stream record as GetRecords has it in JSON."""
    dynamodb: dict[str, Any] = {
        "ApproximateCreationDateTime": DELETED,
        "Keys": {"requestId": {"S": "req-1"}},
        "OldImage": image() if old is None else old,
        "SequenceNumber": "111500000000003498069978",
        "SizeBytes": 41,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    } | change
    made = {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": event,
        "awsRegion": "us-east-1",
        "dynamodb": {name: value for name, value in dynamodb.items() if value is not None},
    }
    return made | ({} if identity is None else {"userIdentity": identity})


def entry(of: dict[str, Any]) -> dict[str, Any]:
    """The entry's JSON, which is valid against the published schema."""
    made = audit_entry(of, source=SOURCE, read_at=READ_AT)
    assert made is not None
    content: dict[str, Any] = json.loads(made.to_json())
    jsonschema.validate(content, SCHEMA)
    return content


def test_an_expired_export_has_every_field_of_the_contract_in_its_order() -> None:
    assert entry(record()) == {
        "schemaVersion": 1,
        "auditId": "c4ca4238a0b923820dcc509a6f75849b",
        "action": "export.expired",
        "requestId": "req-1",
        "lastStatus": "completed",
        "finished": True,
        "createdAt": "2026-11-22T09:45:00.000Z",
        "updatedAt": "2026-11-22T09:45:07.250Z",
        "expiresAt": "2026-11-22T10:00:00.000Z",
        "deletedAt": "2026-11-22T10:00:41.000Z",
        "deletionLagSeconds": 41,
        "fileName": "report.csv",
        "error": None,
        "hadSignedUrl": True,
        "actor": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
        "source": {
            "table": "export-status",
            "region": "us-east-1",
            "streamArn": SOURCE.stream_arn,
            "shardId": SOURCE.shard_id,
            "sequenceNumber": "111500000000003498069978",
        },
    }
    assert list(entry(record())) == list(SCHEMA["properties"]) == SCHEMA["required"]


def test_boto3s_spelling_of_user_identity_counts_as_well() -> None:
    capitals = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert entry(record(identity=capitals)) == entry(record())


def test_a_removal_without_user_identity_is_a_deletion_without_actor_and_lag() -> None:
    deleted = entry(record(identity=None))
    assert (deleted["action"], deleted["actor"], deleted["deletionLagSeconds"]) == (
        "export.deleted",
        None,
        None,
    )


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "Service", "principalId": "replication.dynamodb.amazonaws.com"},
        {"type": "AssumedRole", "principalId": "dynamodb.amazonaws.com"},
        {"type": "Service"},
        {"principalId": "dynamodb.amazonaws.com"},
        {"type": ["Service"], "principalId": {"x": 1}},
    ],
)
def test_any_other_identity_is_a_deletion_with_the_actor_as_given(identity: dict[str, Any]) -> None:
    deleted = entry(record(identity=identity))
    given_type, principal = identity.get("type"), identity.get("principalId")
    assert deleted["action"] == "export.deleted"
    assert deleted["actor"] == {
        "type": given_type if isinstance(given_type, str) else None,
        "principalId": principal if isinstance(principal, str) else None,
    }


@pytest.mark.parametrize("identity", [{}, "dynamodb.amazonaws.com", [TTL]], ids=str)
def test_an_identity_that_names_no_one_is_no_actor(identity: Any) -> None:
    assert entry(record(identity=identity)) == entry(record(identity=None))


@pytest.mark.parametrize("event", ["INSERT", "MODIFY"])
def test_other_events_are_nothing_even_with_ttls_identity(event: str) -> None:
    assert audit_entry(record(event=event), source=SOURCE, read_at=READ_AT) is None


@pytest.mark.parametrize(
    ("status", "finished"), [("pending", False), ("processing", False), ("completed", True), ("failed", True)]
)
def test_finished_shows_whether_an_end_was_recorded(status: str, finished: bool) -> None:
    old = entry(record(image(status={"S": status})))
    assert (old["lastStatus"], old["finished"]) == (status, finished)


def test_a_view_without_old_images_is_audited_by_its_key() -> None:
    bare = entry(record(OldImage=None))
    assert bare["requestId"] == "req-1"
    assert bare["action"] == "export.expired"
    assert not bare["finished"]
    assert not bare["hadSignedUrl"]
    nulls = ("lastStatus", "createdAt", "updatedAt", "expiresAt", "deletionLagSeconds", "fileName", "error")
    assert [bare[name] for name in nulls] == [None] * len(nulls)


def test_the_lag_is_never_negative() -> None:
    assert entry(record(image(ttl={"N": str(DELETED + 100)})))["deletionLagSeconds"] == 0


def test_a_record_without_a_time_is_dated_by_its_reading() -> None:
    assert entry(record(ApproximateCreationDateTime=None))["deletedAt"] == "2026-11-22T11:00:00.000Z"


@pytest.mark.parametrize(
    "when", [True, "soon", 1e20, float("nan"), datetime.max.replace(tzinfo=UTC)], ids=str
)
def test_a_time_that_is_no_instant_of_the_calendar_is_null(when: Any) -> None:
    deleted = entry(record(ApproximateCreationDateTime=when))
    assert deleted["deletedAt"] == "2026-11-22T11:00:00.000Z"


def test_the_time_may_be_a_datetime_as_botos_parser_makes_it() -> None:
    parsed = datetime.fromtimestamp(DELETED, UTC)
    assert entry(record(ApproximateCreationDateTime=parsed)) == entry(record())


@pytest.mark.parametrize(
    ("attribute", "value", "field"),
    [
        ("status", {"S": "archived"}, "lastStatus"),
        ("status", {"N": "1"}, "lastStatus"),
        ("createdAt", {"S": "yesterday"}, "createdAt"),
        ("createdAt", {"S": "2026-11-22T09:45:00"}, "createdAt"),
        ("updatedAt", {"NULL": True}, "updatedAt"),
        ("ttl", {"S": "soon"}, "expiresAt"),
        ("ttl", {"N": "1E+125"}, "expiresAt"),
        ("ttl", {"N": "12.5"}, "expiresAt"),
        ("fileName", {"M": {"a": {"L": [{"BS": ["AA=="]}]}}}, "fileName"),
        ("error", {"B": "AAAA"}, "error"),
        ("createdAt", {"S": 1795341600}, "createdAt"),
        ("updatedAt", "2026-11-22T09:45:07.250Z", "updatedAt"),
        ("status", "completed", "lastStatus"),
    ],
)
def test_what_cannot_be_read_is_null(attribute: str, value: dict[str, Any], field: str) -> None:
    assert entry(record(image(**{attribute: value})))[field] is None


def test_a_timestamp_with_another_offset_is_reported_in_utc() -> None:
    old = image(createdAt={"S": "2026-11-22T11:45:00.123456+02:00"})
    assert entry(record(old))["createdAt"] == "2026-11-22T09:45:00.123Z"


def test_had_signed_url_shows_that_the_attribute_was_there_and_never_its_value() -> None:
    assert not entry(record(image(signedUrl=None)))["hadSignedUrl"]
    assert SECRET not in json.dumps(entry(record()))


def test_a_signed_url_anywhere_loses_its_query() -> None:
    old = image(status={"S": "failed"}, error={"S": f"cannot read {SIGNED} today"}, fileName={"S": SIGNED})
    made = entry(
        record(
            old,
            identity={"type": SIGNED, "principalId": f"a {SIGNED}"},
            Keys={"requestId": {"S": SIGNED}},
        )
        | {"eventID": SIGNED}
    )
    assert SECRET not in json.dumps(made)
    assert made["error"] == "cannot read https://bucket.s3.amazonaws.com/report.csv today"
    assert made["requestId"] == "https://bucket.s3.amazonaws.com/report.csv"


@pytest.mark.parametrize(
    ("keys", "request_id"),
    [
        ({"requestId": {"S": "req-1"}}, "req-1"),
        ({"requestId": {"N": "7"}}, '{"requestId":{"N":"7"}}'),
        ({"id": {"B": "AAE="}}, '{"id":{"B":"AAE="}}'),
        (
            {"sk": {"N": "1"}, "requestId": {"S": "a"}},
            '{"requestId":{"S":"a"},"sk":{"N":"1"}}',
        ),
        ({"requestId": {"S": "Ünïcode \U0001f600"}}, "Ünïcode \U0001f600"),
        ({"requestId": {"S": "half \ud800"}}, "half ?"),
        ({"requestId": {"S": "k"}}, "k"),
        ({"requestId": {"S": "k" * 256}}, "k" * 256),
        ({"id": {"B": b"\x00"}}, '{"id":{"B":"b\'\\\\x00\'"}}'),
    ],
)
def test_a_key_of_any_form_names_its_item(keys: dict[str, Any], request_id: str) -> None:
    assert entry(record(Keys=keys))["requestId"] == request_id


def test_without_keys_the_image_names_the_item_and_without_both_it_still_has_a_name() -> None:
    assert entry(record(Keys=None))["requestId"] == "req-1"
    assert entry(record(Keys=None, OldImage=None))["requestId"] == "{}"


def test_long_keys_that_differ_only_at_their_end_stay_apart() -> None:
    first, second = (entry(record(Keys={"requestId": {"S": "k" * 2_000 + end}}))["requestId"] for end in "ab")
    assert first != second
    assert len(first) == len(second) == 256
    assert first.startswith("kkkk")


def test_long_keys_of_lone_surrogates_stay_apart() -> None:
    first, second = (
        entry(record(Keys={"requestId": {"S": half * 300}}))["requestId"] for half in ("\ud800", "\ud801")
    )
    assert first != second
    assert first.startswith("???")


def test_a_key_that_is_nothing_but_a_credential_still_names_its_item() -> None:
    made = entry(record(Keys={"requestId": {"S": f"X-Amz-Signature={SECRET}"}}))
    assert made["requestId"].startswith("sha256:")
    assert SECRET not in made["requestId"]


def test_a_record_without_event_id_is_named_by_its_place() -> None:
    made = record()
    del made["eventID"]
    assert entry(made)["auditId"] == f"{SOURCE.shard_id}:111500000000003498069978"


def test_a_reader_that_does_not_know_its_shard_makes_an_entry_without_it() -> None:
    source = replace(SOURCE, shard_id=None)
    made = audit_entry(record(), source=source, read_at=READ_AT)
    assert made is not None
    assert json.loads(made.to_json())["source"]["shardId"] is None
    nameless = audit_entry(record() | {"eventID": None}, source=source, read_at=READ_AT)
    assert nameless is not None
    assert nameless.audit_id == f"{source.stream_arn}:111500000000003498069978"


def test_the_longest_text_of_the_contract_is_kept_whole() -> None:
    error, name = "Ursache: " + "ü" * 2_000, "\U0001f600" * 1_024
    made = entry(record(image(status={"S": "failed"}, error={"S": error}, fileName={"S": name})))
    assert (made["error"], made["fileName"]) == (error, name)


def test_a_longer_text_than_the_contract_s_is_cut_to_its_length() -> None:
    made = entry(record(image(error={"S": "e" * 5_000}, fileName={"S": "f" * 2_000})))
    assert (made["error"], made["fileName"]) == ("e" * 4_096, "f" * 1_024)


@pytest.mark.parametrize("char", ["p", "\u00fc", '"', "\n", "\x00", "\U0001f600"], ids=ascii)
def test_a_foreign_name_may_take_512_bytes_of_json_and_no_more(char: str) -> None:
    size = len(json.dumps(char, ensure_ascii=False).encode()) - 2
    whole = entry(record(identity={"type": char * (512 // size), "principalId": char * (512 // size + 1)}))
    assert whole["actor"] == {"type": char * (512 // size), "principalId": char * (512 // size)}


@pytest.mark.parametrize("text", ["x" * 400_000, "\x00" * 400_000, "\U0001f600" * 100_000, '"\\' * 200_000])
def test_over_long_strings_are_cut_so_that_the_line_fits(text: str) -> None:
    old = image(error={"S": text}, fileName={"S": text})
    made = record(old, identity={"type": text, "principalId": text}, Keys={"requestId": {"S": text[:2_000]}})
    built = audit_entry(made | {"eventID": text}, source=SOURCE, read_at=READ_AT)
    assert built is not None
    assert len(built.to_json().encode()) < MAX_ENTRY_JSON_BYTES
    assert built.error
    assert text.startswith(built.error)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(SIGNED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
attributes = st.dictionaries(st.sampled_from(["S", "N", "B", "M", "SS", "NULL"]), values, max_size=2) | values
images = st.dictionaries(
    st.sampled_from(
        ["requestId", "status", "createdAt", "updatedAt", "ttl", "fileName", "error", "signedUrl"]
    )
    | st.text(max_size=8),
    attributes,
    max_size=6,
)


@given(
    old=images | values,
    keys=images | values,
    identity=st.dictionaries(st.sampled_from(["type", "Type", "principalId", "PrincipalId"]), values)
    | values,
    when=values,
    event_id=values,
)
def test_no_image_key_or_identity_stops_the_audit(
    old: Any, keys: Any, identity: Any, when: Any, event_id: Any
) -> None:
    made = record(identity=identity, OldImage=old, Keys=keys, ApproximateCreationDateTime=when)
    content = entry(made | {"eventID": event_id})
    assert SECRET not in json.dumps(content)
    assert len(json.dumps(content, ensure_ascii=False).encode()) < MAX_ENTRY_JSON_BYTES
