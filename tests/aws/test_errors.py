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


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (Transient, ["InternalServerError", "ServiceUnavailable", "TransactionConflictException"]),
        (Rejected, ["ValidationException", "ItemCollectionSizeLimitExceededException"]),
        (Rejected, ["InvalidParameterValue", "InvalidMessageContents", "ReceiptHandleIsInvalid"]),
        (Rejected, ["AWS.SimpleQueueService.BatchRequestTooLong"]),
        (NotFound, ["ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue"]),
        (Misconfigured, ["AccessDeniedException", "AccessDenied", "ExpiredTokenException", "KmsDisabled"]),
        (Misconfigured, ["UnrecognizedClientException", "InvalidSignatureException", "NeverHeardOf"]),
    ],
)
def test_an_error_code_has_one_consequence(kind: type, codes: list[str]) -> None:
    found = [error_for("UpdateItem", code) for code in codes]
    assert {type(error) for error in found} == {kind}
    assert not any(isinstance(error, Transient) and error.throttled for error in found)


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "KMS.ThrottlingException", "KmsThrottled", "OverLimit"]
)
def test_a_code_for_throttling_asks_for_fewer_calls(code: str) -> None:
    error = error_for("ReceiveMessage", code)
    assert isinstance(error, Transient)
    assert error.throttled


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
