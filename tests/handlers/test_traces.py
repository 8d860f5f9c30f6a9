"""The trace id: of `traceparent`, in the message or its SNS envelope, else of X-Ray's header."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.traces import trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"


def found(traceparent: str | None = None, trace_header: str | None = None, body: str = "{}") -> str | None:
    return trace_id(traceparent=traceparent, trace_header=trace_header, body=body)


def sns_with(attributes: Any, **changes: Any) -> str:
    envelope = {"Type": "Notification", "Message": "{}", "MessageAttributes": attributes}
    return json.dumps(envelope | changes)


@pytest.mark.parametrize(
    "traceparent", [PARENT, f"cc-{TRACE}-00f067aa0ba902b7-01-what-the-future-adds", PARENT[:-1] + "0"]
)
def test_a_traceparent_gives_its_trace_id(traceparent: str) -> None:
    assert found(traceparent) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE,
        PARENT.upper(),
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}0-00f067aa0ba902b7-01",
        f"{PARENT}x",
        f"x{PARENT}",
        f"{PARENT}\n",
    ],
)
def test_a_broken_traceparent_leaves_the_trace_to_x_ray_s_header(traceparent: str) -> None:
    assert found(traceparent) is None
    assert found(traceparent, f"Root={ROOT}") == ROOT


@pytest.mark.parametrize(
    ("header", "root"),
    [
        (f"Root={ROOT}", ROOT),
        (f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1", ROOT),
        (f"Self=1-67891234-12456789abcdef012345678;Root={ROOT};Sampled=0", ROOT),
        (f"Parent=53995c3f42cd8ad8; Root={ROOT} ;Sampled=?", ROOT),
        *((header, None) for header in ("", "Root=", f"Root=2{ROOT[1:]}", f"XRoot={ROOT}")),
    ],
)
def test_x_ray_s_header_gives_its_root_and_another_gives_nothing(header: str, root: str | None) -> None:
    assert found(None, header) == root


def test_the_message_s_own_attribute_comes_first_then_the_sns_envelope_s_then_the_header() -> None:
    body = sns_with({"traceparent": {"Type": "String", "Value": PARENT}})
    assert found(body=body) == TRACE
    assert found(f"00-{OTHER}-00f067aa0ba902b7-01", f"Root={ROOT}", body) == OTHER
    assert found(None, f"Root={ROOT}", body) == TRACE
    assert found("broken", f"Root={ROOT}", body) == TRACE


@pytest.mark.parametrize(
    "body",
    [
        sns_with({"traceparent": {"Type": "String", "Value": 5}}),
        sns_with({"traceparent": {"Type": "String"}}),
        sns_with({"traceparent": PARENT}),
        sns_with(["traceparent"]),
        sns_with({"traceparent": {"Value": PARENT}}, Type="SubscriptionConfirmation"),
        sns_with({"traceparent": {"Value": PARENT}}, Message=5),
        '{"traceparent": ',
        '["traceparent"]',
        "",
    ],
    ids=lambda body: body[:70],
)
def test_a_body_without_a_usable_attribute_gives_nothing(body: str) -> None:
    assert found(body=body) is None


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_no_text_makes_it_fail(traceparent: str, header: str, body: str) -> None:
    assert found(traceparent, header, f'"traceparent"{body}') in {None, found(traceparent, header)}
