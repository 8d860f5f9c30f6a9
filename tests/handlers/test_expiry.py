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


def entry(of: dict[str, Any], source: ShardSource = SOURCE) -> dict[str, Any]:
    """The entry's JSON, which is valid against the published schema."""
    made = audit_entry(of, source=source, read_at=READ_AT)
    assert made is not None
    content: dict[str, Any] = json.loads(made.to_json())
    jsonschema.validate(content, entry_schema())
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
    schema = entry_schema()
    assert list(entry(record())) == list(schema["properties"]) == schema["required"]


def test_boto3s_spelling_of_user_identity_counts_as_well() -> None:
    capitals = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert entry(record(identity=capitals)) == entry(record())


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


@pytest.mark.parametrize("event", ["INSERT", "MODIFY"])
def test_other_events_are_nothing_even_with_ttls_identity(event: str) -> None:
    assert audit_entry(record(event=event), source=SOURCE, read_at=READ_AT) is None


READ = "2026-11-22T11:00:00.000Z"
LONG_ERROR, LONG_NAME = "Ursache: " + "ü" * 2_000, "\U0001f600" * 1_024


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"identity": None}, "action", "export.deleted"),
        ({"identity": None}, "actor", None),
        ({"identity": {}}, "actor", None),
        ({"identity": "dynamodb.amazonaws.com"}, "actor", None),
        ({"identity": [TTL]}, "actor", None),
        ({"identity": None}, "deletionLagSeconds", None),
        *(({"OldImage": None}, name, None) for name in ("lastStatus", "createdAt", "updatedAt", "expiresAt")),
        *(({"OldImage": None}, name, None) for name in ("deletionLagSeconds", "fileName", "error")),
        *(({"OldImage": None}, name, False) for name in ("finished", "hadSignedUrl")),
        ({"OldImage": None}, "requestId", "req-1"),
        ({"Keys": None}, "requestId", "req-1"),
        ({"Keys": None, "OldImage": None}, "requestId", "{}"),
        *(({"ApproximateCreationDateTime": when}, "deletedAt", READ) for when in (None, True, "soon", 1e20)),
        ({"ApproximateCreationDateTime": float("nan")}, "deletedAt", READ),
        ({"ApproximateCreationDateTime": datetime.max.replace(tzinfo=UTC)}, "deletedAt", READ),
        ({"ApproximateCreationDateTime": datetime(2026, 11, 22, 10, tzinfo=UTC)}, "deletionLagSeconds", 0),
    ],
    ids=str,
)
def test_a_field_follows_from_the_record(changes: dict[str, Any], field: str, value: Any) -> None:
    assert entry(record(**changes))[field] == value


@pytest.mark.parametrize(
    ("attribute", "value", "field", "shown"),
    [
        ("status", {"S": "pending"}, "finished", False),
        ("status", {"S": "processing"}, "finished", False),
        ("status", {"S": "failed"}, "finished", True),
        ("status", {"S": "failed"}, "lastStatus", "failed"),
        ("status", {"S": "archived"}, "lastStatus", None),
        ("status", {"N": "1"}, "lastStatus", None),
        ("status", "completed", "lastStatus", None),
        ("createdAt", {"S": "2026-11-22T11:45:00.123456+02:00"}, "createdAt", "2026-11-22T09:45:00.123Z"),
        ("createdAt", {"S": "yesterday"}, "createdAt", None),
        ("createdAt", {"S": "2026-11-22T09:45:00"}, "createdAt", None),
        ("createdAt", {"S": 1795341600}, "createdAt", None),
        ("updatedAt", {"NULL": True}, "updatedAt", None),
        ("updatedAt", "2026-11-22T09:45:07.250Z", "updatedAt", None),
        ("ttl", {"N": str(DELETED + 100)}, "deletionLagSeconds", 0),
        ("ttl", {"S": "soon"}, "expiresAt", None),
        ("ttl", {"N": "1E+125"}, "expiresAt", None),
        ("ttl", {"N": "12.5"}, "expiresAt", None),
        ("fileName", {"M": {"a": {"L": [{"BS": ["AA=="]}]}}}, "fileName", None),
        ("fileName", {"S": LONG_NAME}, "fileName", LONG_NAME),
        ("fileName", {"S": "f" * 2_000}, "fileName", "f" * 1_024),
        ("error", {"S": LONG_ERROR}, "error", LONG_ERROR),
        ("error", {"S": "e" * 5_000}, "error", "e" * 4_096),
        ("error", {"B": "AAAA"}, "error", None),
        ("signedUrl", None, "hadSignedUrl", False),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_can_be_read_is_shown_and_all_else_is_null(
    attribute: str, value: Any, field: str, shown: Any
) -> None:
    assert entry(record(image(**{attribute: value})))[field] == shown


def test_a_record_without_event_id_is_named_by_its_place() -> None:
    made = record()
    del made["eventID"]
    assert entry(made)["auditId"] == f"{SOURCE.shard_id}:111500000000003498069978"


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


@pytest.mark.parametrize(
    ("first", "second", "beginning"),
    [("k" * 2_000 + "a", "k" * 2_000 + "b", "kkkk"), ("\ud800" * 300, "\ud801" * 300, "???")],
    ids=["different ends", "lone surrogates"],
)
def test_long_keys_stay_apart(first: str, second: str, beginning: str) -> None:
    ids = [entry(record(Keys={"requestId": {"S": key}}))["requestId"] for key in (first, second)]
    assert ids[0] != ids[1]
    assert [len(each) for each in ids] == [256, 256]
    assert ids[0].startswith(beginning)


def test_a_key_that_is_nothing_but_a_credential_still_names_its_item() -> None:
    made = entry(record(Keys={"requestId": {"S": f"X-Amz-Signature={SECRET}"}}))
    assert made["requestId"].startswith("sha256:")
    assert SECRET not in made["requestId"]


def test_a_reader_that_does_not_know_its_shard_makes_an_entry_without_it() -> None:
    source = replace(SOURCE, shard_id=None)
    assert entry(record(), source)["source"]["shardId"] is None
    nameless = entry(record() | {"eventID": None}, source)
    assert nameless["auditId"] == f"{source.stream_arn}:111500000000003498069978"


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
