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
        (client_error("RequestThrottled", 403), Transient),
        (client_error("SomethingNew", 503), Transient),
        (client_error("ReceiptHandleIsInvalid", 404), Rejected),
        (client_error("ResourceNotFoundException"), NotFound),
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


@pytest.mark.parametrize("members", [{"Item": {"requestId": {"S": "r"}}}, {}], ids=str)
def test_a_refused_condition_carries_the_old_item_if_it_came(members: dict[str, Any]) -> None:
    refused = translate(client_error("ConditionalCheckFailedException", **members), "UpdateItem")
    assert isinstance(refused, ConditionFailed)
    assert refused.item == members.get("Item")


def test_the_operation_of_an_error_is_the_api_s_name() -> None:
    def batch_execute_statement(**_: Any) -> None:
        raise bc.NoCredentialsError

    with pytest.raises(Misconfigured, match=r"^BatchExecuteStatement: NoCredentialsError$"):
        call(batch_execute_statement, Statements=[])


@pytest.mark.parametrize(
    "error", [AssertionError("two records in flight"), SettingsError("AWS_PROFILE must")]
)
def test_a_broken_assertion_or_a_wrong_setting_is_no_answer_and_not_tried_again(error: Exception) -> None:
    """A stand-in for AWS reports a broken law; a client is made by its first call."""

    def update_item(**_: Any) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        call(update_item)


@pytest.mark.parametrize(
    ("error", "is_defect"),
    [
        (TypeError(SECRET), True),
        (KeyError(SECRET), True),
        (AttributeError(SECRET), True),
        (client_error("AccessDenied"), False),
        (bc.ReadTimeoutError(endpoint_url=URL), False),
        (ResponseParserError(), False),
        (ConnectionResetError(), False),
        (RuntimeError(), False),
    ],
    ids=repr,
)
def test_what_no_aws_call_should_raise_is_logged_as_a_defect(error: Exception, *, is_defect: bool) -> None:
    def update_item(**_: Any) -> None:
        raise error

    structlog.reset_defaults()
    with structlog.testing.capture_logs() as logged, pytest.raises(AwsError, match=r"^UpdateItem: "):
        call(update_item)
    defect = {"event": "aws_call_defect", "log_level": "error", "operation": "UpdateItem", "exc_info": error}
    assert logged == [defect] * is_defect
