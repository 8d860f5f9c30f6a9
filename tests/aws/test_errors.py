"""AWS's error codes by their consequence, and answers without a required member."""

import pytest

from processor.aws.errors import (
    INCOMPLETE,
    Misconfigured,
    NotFound,
    Rejected,
    Transient,
    error_for,
    member,
)


@pytest.mark.parametrize("code", ["KmsThrottled", "KMS.ThrottlingException", "RequestThrottled", "OverLimit"])
def test_sqs_s_codes_for_throttling_ask_for_fewer_calls(code: str) -> None:
    error = error_for("ReceiveMessage", code)
    assert isinstance(error, Transient)
    assert error.throttled


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ServiceUnavailable", Transient),
        ("ResourceNotFoundException", NotFound),
        ("ValidationException", Rejected),
        ("AccessDeniedException", Misconfigured),
        ("NeverHeardOf", Misconfigured),
    ],
)
def test_an_error_code_has_one_consequence(code: str, kind: type) -> None:
    assert type(error_for("UpdateItem", code)) is kind


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_error_is_transient_with_any_code(status: int) -> None:
    assert type(error_for("UpdateItem", "NeverHeardOf", status)) is Transient


def test_a_required_member_is_returned() -> None:
    assert member({"Shards": []}, "Shards", "ListShards") == []


@pytest.mark.parametrize("answer", [{}, {"Shards": None}], ids=str)
def test_an_answer_without_a_required_member_is_transient(answer: dict[str, None]) -> None:
    with pytest.raises(Transient) as error:
        member(answer, "Shards", "ListShards")
    assert (error.value.operation, error.value.code) == ("ListShards", INCOMPLETE)
