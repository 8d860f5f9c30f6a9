"""Envelopes: bare, SNS, EventBridge, and EventBridge inside SNS; strict JSON everywhere."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.envelopes import InvalidEvent, strict_object, unwrap
from tests.handlers.making import fields

EVENT = fields("completed", createdAt="2026-11-22T10:00:00Z", fileName="Bericht \u2013 \U0001f600.csv")


def sns(message: str) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:exports",
            "Message": message,
            "Timestamp": "2026-11-22T10:00:00.000Z",
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
        }
    )


def event_bridge(detail: Any) -> str:
    return json.dumps(
        {
            "version": "0",
            "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
            "detail-type": "Export Status Change",
            "source": "exports",
            "account": "123456789012",
            "time": "2026-11-22T10:00:00Z",
            "region": "us-east-1",
            "resources": [],
            "detail": detail,
        }
    )


@pytest.mark.parametrize(
    "body",
    [json.dumps(EVENT), sns(json.dumps(EVENT)), event_bridge(EVENT), sns(event_bridge(EVENT))],
    ids=["bare", "SNS", "EventBridge", "EventBridge inside SNS"],
)
def test_an_event_is_found_in_every_envelope(body: str) -> None:
    assert unwrap(body) == EVENT


def test_what_has_request_id_is_bare_even_if_it_looks_like_an_envelope() -> None:
    looks_like_both = {**EVENT, "Type": "Notification", "Message": "{}", "detail-type": "x", "source": "y"}
    assert unwrap(json.dumps({**looks_like_both, "detail": {}})) == {**looks_like_both, "detail": {}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "the body must be JSON"),
        ("x", "the body must be JSON"),
        ("\ufeff{}", "the body must be JSON"),
        ("{'requestId': 1}", "the body must be JSON"),
        ('{"requestId":"a"} {}', "the body must be JSON"),
        ("null", "the body must be a JSON object"),
        ("[]", "the body must be a JSON object"),
        ('"text"', "the body must be a JSON object"),
        ("42", "the body must be a JSON object"),
        ("[" * 200_000, "the body must not be nested so deeply"),
        ('{"a":' * 200_000, "the body must not be nested so deeply"),
        ('{"requestId":"a","x":' + "[" * 200_000, "the body must not be nested so deeply"),
        ('{"requestId":NaN}', "the body must not hold NaN or Infinity"),
        ('{"requestId":"a","x":[-Infinity]}', "the body must not hold NaN or Infinity"),
        ('{"requestId":"a","requestId":"b"}', "the body must not hold the same key twice"),
        ('{"requestId":"a","x":{"y":1,"y":1}}', "the body must not hold the same key twice"),
        ('{"requestId":"a","fileName":"\\ud800"}', "the body must not hold a lone surrogate"),
        ('{"requestId":"a","\\uDFFF":1}', "the body must not hold a lone surrogate"),
        ('{"requestId":"a","x":["\ud800"]}', "the body must not hold a lone surrogate"),
        ("{}", "requestId is required, and the body is no SNS or EventBridge envelope either"),
        (
            '{"Type":"SubscriptionConfirmation","Message":"{}"}',
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (
            json.dumps({"Type": "UnsubscribeConfirmation", "Message": json.dumps(EVENT)}),
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (
            json.dumps({"Message": json.dumps(EVENT)}),
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (
            '{"Type":"Notification","Message":{}}',
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (sns("x"), "the SNS Message must be JSON"),
        (sns("[1]"), "the SNS Message must be a JSON object"),
        (sns("[" * 100_000), "the SNS Message must not be nested so deeply"),
        (sns('{"a":1,"a":2}'), "the SNS Message must not hold the same key twice"),
        (sns('{"requestId":"\\ud800"}'), "the SNS Message must not hold a lone surrogate"),
        (
            sns(sns(json.dumps(EVENT))),
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (
            json.dumps({"source": "exports", "detail": EVENT}),
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (
            json.dumps({"detail-type": "Export Status Change", "detail": EVENT}),
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
        (event_bridge({}), "requestId is required in the EventBridge detail"),
        (event_bridge([]), "requestId is required, and the body is no SNS or EventBridge envelope either"),
        (
            event_bridge(json.dumps(EVENT)),
            "requestId is required, and the body is no SNS or EventBridge envelope either",
        ),
    ],
    ids=lambda value: value[:40].encode("ascii", "backslashreplace").decode(),
)
def test_anything_else_is_refused_in_one_sentence(body: str, reason: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        unwrap(body)
    assert str(refused.value) == reason


def test_no_depth_of_nesting_escapes_as_another_error() -> None:
    """Reading and the look for surrogates recurse differently; at the border both must be refused."""
    outcomes = set()
    for depth in range(1, 1_200):
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            text = f'{{"\u00e9":1,"x":{opened * depth}1{closed * depth}}}'
            try:
                strict_object(text, "the body")
                outcomes.add("read")
            except InvalidEvent as refused:
                outcomes.add(str(refused))
    assert outcomes <= {"read", "the body must not be nested so deeply"}
    assert "read" in outcomes


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert strict_object('{"a":"\\ud83d\\ude00"}', "the body") == {"a": "\U0001f600"}


def test_numbers_of_any_length_are_read_without_trouble() -> None:
    read = strict_object('{"a":' + "9" * 250_000 + ',"b":1e999999}', "the body")
    assert read == {"a": float("inf"), "b": float("inf")}


@given(st.text(max_size=200))
def test_no_text_makes_anything_but_an_event_or_a_refusal(text: str) -> None:
    found: Any = "requestId"
    with suppress(InvalidEvent):
        found = unwrap(text)
    assert "requestId" in found


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_json_objects_are_read_as_they_are(value: dict[str, Any]) -> None:
    assert strict_object(json.dumps(value), "the body") == value
    assert strict_object(json.dumps(value, ensure_ascii=False), "the body") == value
