"""GetRecords' answer is read to the same audit entries as with the standard library, whatever is in it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.expiry import ShardSource, audit_entry
from processor.aws.stream_records import read_answer
from processor.streams.api import position_of

SOURCE = ShardSource("export-status", "us-east-1", "arn:stream", "shardId-1")
READ_AT = datetime(2026, 11, 22, tzinfo=UTC)
IMAGE = {"requestId": {"S": "r"}, "status": {"S": "completed"}, "ttl": {"N": "1795342500"}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
attributes = st.dictionaries(
    st.sampled_from(["requestId", "status", "createdAt", "ttl", "fileName", "error", "signedUrl", "x"]),
    st.dictionaries(st.sampled_from(["S", "N", "B", "M"]), json_values, max_size=2) | json_values,
)
changes = st.fixed_dictionaries(
    {"SequenceNumber": st.from_regex(r"[1-9][0-9]{20,30}", fullmatch=True)},
    optional={
        "ApproximateCreationDateTime": st.integers(0, 4_000_000_000) | st.floats(0, 4e9) | json_values,
        "Keys": attributes,
        "OldImage": attributes,
        "NewImage": attributes | json_values,
        "SizeBytes": st.integers(),
    },
)
records = st.fixed_dictionaries(
    {"eventName": st.sampled_from(["INSERT", "MODIFY", "REMOVE"]), "dynamodb": changes},
    optional={"eventID": json_values, "userIdentity": json_values, "awsRegion": st.just("us-east-1")},
)


def encoded(*found: dict[str, Any], ascii_only: bool = True, **more: object) -> bytes:
    return json.dumps({"Records": found, **more}, ensure_ascii=ascii_only).encode(errors="surrogatepass")


def record(name: str, **more: object) -> dict[str, Any]:
    change = {"SequenceNumber": "111111111111111111111", "NewImage": IMAGE, "OldImage": IMAGE}
    return {"eventID": "e", "eventName": name, "dynamodb": change, **more}


@given(st.lists(records, max_size=5), st.booleans())
def test_every_removal_becomes_the_entry_that_the_whole_record_becomes(
    found: list[dict[str, Any]], ascii_only: bool
) -> None:
    body = encoded(*found, ascii_only=ascii_only)
    wanted = json.loads(body)["Records"]
    read = read_answer(body)["Records"]
    assert [audit_entry(each, source=SOURCE, read_at=READ_AT) for each in read] == [
        audit_entry(each, source=SOURCE, read_at=READ_AT) for each in wanted
    ]
    assert [position_of(each) for each in read] == [position_of(each) for each in wanted]


def test_of_changes_only_name_and_place_are_kept() -> None:
    answer = read_answer(encoded(record("INSERT"), record("MODIFY"), NextShardIterator="n"))
    assert answer == {
        "Records": [
            {"eventName": name, "dynamodb": {"SequenceNumber": "111111111111111111111"}}
            for name in ("INSERT", "MODIFY")
        ],
        "NextShardIterator": "n",
    }


def test_the_order_of_a_record_s_members_does_not_matter() -> None:
    forward = record("REMOVE", userIdentity={"Type": "Service"})
    backward = dict(reversed(forward.items()))
    assert read_answer(encoded(backward)) == read_answer(encoded(forward))


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"Records": [record("RENAME"), record("INSERT")]},
        {"Records": [{"eventName": "INSERT", "dynamodb": {"SequenceNumber": 7}}]},
        {"Records": [{"dynamodb": {"SequenceNumber": "7"}}]},
        {"Records": 5},
    ],
)
def test_an_answer_of_another_form_is_given_back_unchanged(foreign: dict[str, Any]) -> None:
    assert read_answer(json.dumps(foreign).encode()) == foreign


def test_half_a_surrogate_pair_is_read() -> None:
    image = {"requestId": {"S": "r"}, "fileName": {"S": "\ud83d.csv"}}
    removed = {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "1", "OldImage": image}}
    assert read_answer(encoded(removed))["Records"][0]["dynamodb"]["OldImage"] == image


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'{"Records":[', b"\xff"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the JSON reader's own error, or ours
        read_answer(body)
