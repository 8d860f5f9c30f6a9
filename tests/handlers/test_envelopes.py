"""Envelopes: bare, SNS, EventBridge, CloudEvents, the last two inside SNS; strict JSON where it is read."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.envelopes import EVENT_FIELDS, InvalidEvent, read_object, unwrap
from handlers.events import ExportEvent
from tests.handlers.making import fields

EVENT = fields("completed", createdAt="2026-11-22T10:00:00Z", fileName="Bericht \u2013 \U0001f600.csv")


def sns(message: str) -> str:
    """As SNS sends it, without the fields that are not read."""
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:…:exports", "Message": message})


def event_bridge(detail: Any) -> str:
    """As EventBridge sends it, without most fields that are not read."""
    name, source = "Export Status Change", "exports"
    return json.dumps({"version": "0", "detail-type": name, "source": source, "detail": detail})


def cloud_event(event: Any, /, **changes: Any) -> str:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": "ce-7",
            "source": "/exports",
            "type": "com.example.export.completed",
            "datacontenttype": "application/json",
            "data": event,
        }
        | changes
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
        ('{"requestId":NaN}', "requestId must not be NaN or Infinity in the body"),
        ('{"requestId":"a","status":-Infinity}', "status must not be NaN or Infinity in the body"),
        ('{"requestId":"a","requestId":"b"}', "the body must not hold requestId twice"),
        ('{"requestId":"a","error":null,"error":null}', "the body must not hold error twice"),
        ('{"requestId":"a","fileName":"\\ud800"}', "fileName must not hold a lone surrogate in the body"),
        ('{"requestId":"a","eventId":"\ud800"}', "eventId must not hold a lone surrogate in the body"),
        (sns("x"), "the SNS Message must be JSON"),
        (sns("[1]"), "the SNS Message must be a JSON object"),
        (sns("[" * 100_000), "the SNS Message must not be nested so deeply"),
        (sns('{"requestId":1,"requestId":2}'), "the SNS Message must not hold requestId twice"),
        (sns('{"requestId":"\\ud800"}'), "requestId must not hold a lone surrogate in the SNS Message"),
        (event_bridge({}), "requestId is required in the EventBridge detail"),
        (
            event_bridge(EVENT).replace('"source":', '"source": 1, "source":'),
            "the EventBridge envelope must not hold source twice",
        ),
        (
            event_bridge(EVENT).replace('"Export Status Change"', "NaN"),
            "detail-type must not be NaN or Infinity in the EventBridge envelope",
        ),
        (cloud_event({}), "requestId is required in the CloudEvents data"),
        (cloud_event(EVENT, id=5), "id must be a JSON string in the CloudEvents envelope"),
        (cloud_event(EVENT, id="\ud800"), "id must not hold a lone surrogate in the CloudEvents envelope"),
        (
            cloud_event(EVENT).replace('"type":', '"type": "x", "type":'),
            "the CloudEvents envelope must not hold type twice",
        ),
        (
            cloud_event(EVENT, source=float("nan")),
            "source must not be NaN or Infinity in the CloudEvents envelope",
        ),
        (
            cloud_event({"requestId": "a"}).replace('"requestId":', '"status": 1, "status": 2, "requestId":'),
            "the CloudEvents data must not hold status twice",
        ),
    ],
    ids=lambda value: value[:40].encode("ascii", "backslashreplace").decode(),
)
def test_anything_else_is_refused_in_one_sentence(body: str, reason: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        unwrap(body)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"Type":"SubscriptionConfirmation","Message":"{}"}',
        json.dumps({"Type": "UnsubscribeConfirmation", "Message": json.dumps(EVENT)}),
        json.dumps({"Message": json.dumps(EVENT)}),
        '{"Type":"Notification","Message":{}}',
        sns(sns(json.dumps(EVENT))),
        json.dumps({"source": "exports", "detail": EVENT}),
        json.dumps({"detail-type": "Export Status Change", "detail": EVENT}),
        event_bridge([]),
        event_bridge(json.dumps(EVENT)),
        cloud_event(EVENT, specversion="10"),
        cloud_event(EVENT, data=None, data_base64="e30="),
        *(
            json.dumps(
                {name: value for name, value in json.loads(cloud_event(EVENT)).items() if name != missing}
            )
            for missing in ("specversion", "id", "source", "type", "data")
        ),
    ],
    ids=range(17),
)
def test_what_looks_almost_like_an_envelope_is_none(body: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        unwrap(body)
    assert str(refused.value) == (
        "requestId is required, and the body is no SNS, EventBridge or CloudEvents envelope either"
    )


@pytest.mark.parametrize(
    "body",
    [cloud_event(EVENT), sns(cloud_event(EVENT)), cloud_event(EVENT, specversion="1.1", data_extra=[1])],
    ids=["CloudEvents", "CloudEvents inside SNS", "a later 1.x with an extension"],
)
def test_a_cloud_event_s_id_stands_in_for_a_missing_event_id(body: str) -> None:
    without_id = {name: value for name, value in EVENT.items() if name != "eventId"}
    has_id = unwrap(body)
    assert has_id == EVENT | {"eventId": EVENT.get("eventId", "ce-7")}
    for data in (without_id, without_id | {"eventId": None}):
        assert unwrap(cloud_event(data)) == without_id | {"eventId": "ce-7"}
    assert unwrap(cloud_event(without_id | {"eventId": "own"}))["eventId"] == "own"


UNREAD = [
    '"debug": {"a": 1, "a": 2}',
    '"progress": NaN',
    '"x": [-Infinity, {"y": Infinity}]',
    '"x": 1, "x": 2',
    r'"\udfff": "\ud800"',
]


@pytest.mark.parametrize("unread", UNREAD)
@pytest.mark.parametrize("wrap", [str, sns], ids=["bare", "SNS"])
def test_what_producers_add_is_ignored_whatever_it_holds(wrap: Any, unread: str) -> None:
    event = json.dumps(EVENT)
    in_the_event = unwrap(wrap(f"{event[:-1]}, {unread}}}"))
    assert {name: in_the_event[name] for name in EVENT} == EVENT
    for envelope in (event_bridge(EVENT), cloud_event(EVENT)):
        with_it = unwrap(wrap(f"{envelope[:-1]}, {unread}}}"))
        assert {name: with_it[name] for name in EVENT} == EVENT


def test_the_fields_that_are_judged_are_those_of_the_event() -> None:
    aliases = {str(info.alias) for info in ExportEvent.model_fields.values()}
    assert sorted(EVENT_FIELDS) == sorted(aliases)


def test_no_depth_of_nesting_escapes_as_another_error() -> None:
    """Reading and the look for surrogates recurse differently; at the border both must be refused."""
    outcomes = set()
    for depth in range(1, 1_200):
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            text = f'{{"\u00e9":1,"x":{opened * depth}1{closed * depth}}}'
            try:
                read_object(text, "the body")
                outcomes.add("read")
            except InvalidEvent as refused:
                outcomes.add(str(refused))
    assert outcomes <= {"read", "the body must not be nested so deeply"}
    assert "read" in outcomes


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read_object('{"a":"\\ud83d\\ude00"}', "the body") == {"a": "\U0001f600"}


def test_numbers_of_any_length_are_read_without_trouble() -> None:
    read = read_object('{"a":' + "9" * 250_000 + ',"b":1e999999}', "the body")
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
    assert read_object(json.dumps(value), "the body") == value
    assert read_object(json.dumps(value, ensure_ascii=False), "the body") == value


OTHERS_NAMES = {"requestId", "Type", "Message", "detail-type", "data"}


@given(
    event=st.dictionaries(
        st.sampled_from(sorted(EVENT_FIELDS)) | st.text(max_size=9), JSON_VALUES, max_size=8
    ),
    request_id=st.text(max_size=9),
    envelope=st.dictionaries(st.text(max_size=9), JSON_VALUES, max_size=4),
    id=st.text(max_size=9),
    minor=st.integers(0, 99),
    wrap=st.sampled_from([str, sns]),
)
def test_every_structured_cloud_event_carries_its_event_unchanged(
    *,
    event: dict[str, Any],
    request_id: str,
    envelope: dict[str, Any],
    id: str,  # noqa: A002 - the attribute's name
    minor: int,
    wrap: Callable[[str], str],
) -> None:
    data = event | {"requestId": request_id}
    extensions = {name: value for name, value in envelope.items() if name not in OTHERS_NAMES}
    found = unwrap(wrap(cloud_event(data, **{**extensions, "specversion": f"1.{minor}", "id": id})))
    expected = data if data.get("eventId") is not None else data | {"eventId": id}
    assert found == expected


NO_OBJECT = JSON_VALUES.filter(lambda value: not isinstance(value, dict))
NO_TEXT = JSON_VALUES.filter(lambda value: not isinstance(value, str))
WRONG_ATTRIBUTES = (
    st.tuples(st.just("data"), NO_OBJECT)
    | st.tuples(st.sampled_from(["specversion", "id"]), NO_TEXT)
    | st.tuples(st.just("specversion"), st.text().filter(lambda text: not text.startswith("1.")))
)


@given(wrong=WRONG_ATTRIBUTES)
def test_a_cloud_event_with_a_wrong_attribute_is_never_read(wrong: tuple[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match="CloudEvents envelope"):
        unwrap(cloud_event(EVENT, **dict([wrong])))
