"""A call to AWS: each exception of botocore becomes the error of its consequence, and quotes nothing."""

from typing import Any

import botocore.exceptions as bc
import pytest
import structlog
from botocore.parsers import ResponseParserError

from processor.aws.calls import call, translate
from processor.aws.errors import (
    AwsError,
    ConditionFailed,
    IteratorExpired,
    Misconfigured,
    NoCredentials,
    NotFound,
    Rejected,
    Transient,
    Trimmed,
    error_for,
)
from processor.settings import SettingsError
from tests.handlers.making import SECRET, SIGNED_URL

URL = "http://127.0.0.1:1"


def client_error(code: str, status: int = 400, **members: Any) -> bc.ClientError:
    answer: Any = {
        "Error": {"Code": code, "Message": SIGNED_URL},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **members,
    }
    return bc.ClientError(answer, "UpdateItem")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("ProvisionedThroughputExceededException"), Transient),
        (client_error("ThrottlingException"), Transient),
        (client_error("RequestThrottled", 403), Transient),
        (client_error("OverLimit", 403), Transient),
        (client_error("KmsThrottled"), Transient),
        (client_error("InternalServerError", 500), Transient),
        (client_error("SomethingNew", 503), Transient),
        (client_error("SomethingNew", 429), Transient),
        (client_error("TransactionConflictException"), Transient),
        (client_error("ValidationException"), Rejected),
        (client_error("ItemCollectionSizeLimitExceededException"), Rejected),
        (client_error("InvalidParameterValue"), Rejected),
        (client_error("InvalidMessageContents"), Rejected),
        (client_error("AWS.SimpleQueueService.BatchRequestTooLong"), Rejected),
        (client_error("ReceiptHandleIsInvalid", 404), Rejected),
        (client_error("ResourceNotFoundException"), NotFound),
        (client_error("QueueDoesNotExist"), NotFound),
        (client_error("AWS.SimpleQueueService.NonExistentQueue"), NotFound),
        (client_error("AccessDeniedException"), Misconfigured),
        (client_error("AccessDenied", 403), Misconfigured),
        (client_error("ExpiredTokenException"), Misconfigured),
        (client_error("UnrecognizedClientException"), Misconfigured),
        (client_error("InvalidSignatureException"), Misconfigured),
        (client_error("KmsDisabled"), Misconfigured),
        (client_error("SomethingNew", 400), Misconfigured),
        (client_error("ExpiredIteratorException"), IteratorExpired),
        (client_error("TrimmedDataAccessException"), Trimmed),
        (bc.EndpointConnectionError(endpoint_url=URL), Transient),
        (bc.ConnectTimeoutError(endpoint_url=URL), Transient),
        (bc.ReadTimeoutError(endpoint_url=URL), Transient),
        (bc.ConnectionClosedError(endpoint_url=URL), Transient),
        (bc.CredentialRetrievalError(provider="container", error_msg=SECRET), Transient),
        (bc.NoCredentialsError(), NoCredentials),
        (bc.PartialCredentialsError(provider="env", cred_var="x"), NoCredentials),
        (RuntimeError(SECRET), Transient),
        (TypeError(SECRET), Transient),
        (bc.ParamValidationError(report=SECRET), Rejected),
    ],
    ids=str,
)
def test_an_error_is_named_by_its_consequence_and_quotes_nothing(error: Exception, kind: type) -> None:
    found = translate(error, "UpdateItem")
    assert type(found) is kind
    assert str(found).startswith("UpdateItem: ")
    assert SECRET not in f"{found!r} {found} {vars(found)}"


def test_a_refused_condition_carries_the_old_item() -> None:
    item = {"requestId": {"S": "r"}}
    with_item = translate(client_error("ConditionalCheckFailedException", Item=item), "UpdateItem")
    assert isinstance(with_item, ConditionFailed)
    assert with_item.item == item
    without = translate(client_error("ConditionalCheckFailedException"), "UpdateItem")
    assert isinstance(without, ConditionFailed)
    assert without.item is None


def test_throttling_is_not_failing() -> None:
    throttled, failed = error_for("X", "ThrottlingException"), error_for("X", "InternalServerError", 500)
    assert isinstance(throttled, Transient)
    assert isinstance(failed, Transient)
    assert (throttled.throttled, failed.throttled) == (True, False)


def test_the_operation_of_an_error_is_the_api_s_name() -> None:
    def batch_execute_statement(**_: Any) -> None:
        raise bc.NoCredentialsError

    with pytest.raises(Misconfigured, match=r"^BatchExecuteStatement: NoCredentialsError$"):
        call(batch_execute_statement, Statements=[])


def test_whatever_a_client_raises_is_one_of_our_errors() -> None:
    def update_item(**_: Any) -> None:
        raise RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")

    with pytest.raises(Transient, match=r"^UpdateItem: RuntimeError$"):
        call(update_item)


@pytest.mark.parametrize(
    "error", [AssertionError("two records in flight"), SettingsError("AWS_PROFILE must")]
)
def test_a_broken_assertion_or_a_wrong_setting_is_no_answer_and_not_tried_again(error: Exception) -> None:
    """A stand-in for AWS reports a broken law; a client is made by its first call."""

    def update_item(**_: Any) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        call(update_item)


@pytest.mark.parametrize("error", [TypeError(SECRET), KeyError(SECRET), AttributeError(SECRET)], ids=repr)
def test_what_no_aws_call_should_raise_is_logged_as_a_defect(error: Exception) -> None:
    def update_item(**_: Any) -> None:
        raise error

    structlog.reset_defaults()
    with (
        structlog.testing.capture_logs() as logged,
        pytest.raises(Transient, match=f"^UpdateItem: {type(error).__name__}$"),
    ):
        call(update_item)
    assert logged == [
        {"event": "aws_call_defect", "log_level": "error", "operation": "UpdateItem", "exc_info": error}
    ]


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDenied"),
        bc.ReadTimeoutError(endpoint_url=URL),
        ResponseParserError(),
        ConnectionResetError(),
        RuntimeError(),
    ],
    ids=repr,
)
def test_what_aws_calls_do_raise_is_no_defect(error: Exception) -> None:
    def update_item(**_: Any) -> None:
        raise error

    structlog.reset_defaults()
    with structlog.testing.capture_logs() as logged, pytest.raises(AwsError):
        call(update_item)
    assert logged == []


# Clients
