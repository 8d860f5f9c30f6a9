"""One call to AWS: what botocore raises becomes one of our errors."""

from collections.abc import Callable
from typing import Any, TypeVar

import botocore.exceptions as bc
from botocore.parsers import ResponseParserError

from processor.aws.errors import (
    AwsError,
    ConditionFailed,
    IteratorExpired,
    Misconfigured,
    NoCredentials,
    Rejected,
    Transient,
    Trimmed,
    error_for,
)
from processor.observability.log import get_logger
from processor.settings import SettingsError

T = TypeVar("T")

_EXPECTED_EXCEPTIONS = (bc.ClientError, bc.BotoCoreError, ResponseParserError, OSError, RuntimeError)
_PERMANENT_EXCEPTIONS = (
    bc.NoRegionError,
    bc.UnauthorizedSSOTokenError,
    bc.TokenRetrievalError,
    bc.ProfileNotFound,
    bc.ConfigParseError,
)


def translate(error: Exception, operation: str) -> AwsError:
    """Turns what botocore raises into one of our errors.

    Args:
        error: a ClientError, another BotoCoreError, or what else came out of a client's method.
        operation: the API's name of the call.
    """
    if isinstance(error, bc.ClientError):
        details: Any = error.response
        code = str(details.get("Error", {}).get("Code", "Unknown"))
        status = int(details.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
        match code:
            case "ConditionalCheckFailedException":
                return ConditionFailed(operation, code, details.get("Item") or None)
            case "ExpiredIteratorException":
                return IteratorExpired(operation, code)
            case "TrimmedDataAccessException":
                return Trimmed(operation, code)
        return error_for(operation, code, status)
    name = type(error).__name__
    if isinstance(error, bc.ParamValidationError):
        return Rejected(operation, name)
    if isinstance(error, bc.NoCredentialsError | bc.PartialCredentialsError):
        return NoCredentials(operation, name)
    if isinstance(error, _PERMANENT_EXCEPTIONS):
        return Misconfigured(operation, name)
    return Transient(operation, name)


def api_name(method: Callable[..., Any]) -> str:
    """The API's name of a client's method: `UpdateItem` for `update_item`."""
    return "".join(part.capitalize() for part in method.__name__.split("_"))


def call(method: Callable[..., T], /, **arguments: Any) -> T:
    """Calls a client's method.

    Args:
        method: such as `client.update_item`.
        arguments: its parameters.

    Returns:
        The answer.

    Raises:
        AwsError: one of its kinds, for everything that botocore raises.
        AssertionError, SettingsError: unchanged.
    """
    try:
        return method(**arguments)
    except (AssertionError, SettingsError):
        raise  # a bug, or a setting that an operator must correct: a retry must not hide it
    except Exception as error:  # noqa: BLE001 - botocore raises more than its own types: RuntimeError where
        # refreshed credentials are still expired, OSError where a token file cannot be read, TypeError for
        # an answer of another shape. None of them may end the thread that called.
        name = api_name(method)
        if not isinstance(error, _EXPECTED_EXCEPTIONS):
            # A bug, here or in botocore, that would look like an outage without end.
            get_logger().error("aws_call_defect", operation=name, exc_info=error)
        raise translate(error, name) from None
