"""AWS's errors as the few that we act on, named for their consequence.

`Transient` (the same call may work later), `Rejected` (this content is refused), `Misconfigured` (nothing
works until an operator acts). Only `processor/aws` turns error codes into them.
"""

from collections.abc import Mapping
from typing import Any


class AwsError(Exception):
    """An AWS call failed. `operation` and `code` are safe to log; AWS's message is not kept, for it may
    quote values.

    Attributes:
        operation: the API's name of the call, such as `UpdateItem`.
        code: AWS's error code, or the type of botocore's exception.
    """

    def __init__(self, operation: str, code: str) -> None:
        super().__init__(f"{operation}: {code}")
        self.operation = operation
        self.code = code


class Transient(AwsError):
    """Throttled, failed or timed out: the same call may work later."""

    @property
    def throttled(self) -> bool:
        """Whether AWS asked for fewer calls, rather than failing."""
        return _asks_for_fewer_calls(self.code)


class Rejected(AwsError):
    """Refused for what this very request holds; other requests are unaffected."""


class Misconfigured(AwsError):
    """Access denied, bad credentials, unknown endpoint: nothing works until an operator acts."""


class NoCredentials(Misconfigured):
    """No credentials are configured, or only a part of them."""


class NotFound(Misconfigured):
    """The table, queue, stream or shard does not exist."""


class ConditionFailed(AwsError):
    """A conditional write was refused; `item` is the stored item, or None."""

    def __init__(self, operation: str, code: str, item: Mapping[str, Mapping[str, Any]] | None) -> None:
        super().__init__(operation, code)
        self.item = item


class IteratorExpired(AwsError):
    """A shard iterator is older than AWS keeps it."""


class Trimmed(AwsError):
    """The position lies before the oldest record that the stream still holds."""


# Codes without `Exception` at the end, and without the prefix of SQS's query-compatible errors.
_THROTTLED = frozenset(
    {
        "TooManyRequests",
        "RequestLimitExceeded",
        "LimitExceeded",
        "ProvisionedThroughputExceeded",
        "BandwidthLimitExceeded",
        "SlowDown",
        "OverLimit",
    }
)
"""Next to the codes that say it, such as `KMS.ThrottlingException`."""

_TRANSIENT = frozenset(
    {
        "InternalServerError",
        "InternalFailure",
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "TransactionConflict",
        "TransactionInProgress",
        "ReplicatedWriteConflict",
        "ResourceInUse",
    }
)
_NOT_FOUND = frozenset({"ResourceNotFound", "TableNotFound", "QueueDoesNotExist", "NonExistentQueue"})
_REJECTED = frozenset(
    {
        "Validation",
        "Serialization",
        "ItemCollectionSizeLimitExceeded",
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "InvalidArgument",
        "InvalidMessageContents",
        "InvalidAttributeValue",
        "MessageTooLong",
        "BatchRequestTooLong",
        "ReceiptHandleIsInvalid",
        "MessageNotInflight",
    }
)


def _plain(code: str) -> str:
    return code.removeprefix("AWS.SimpleQueueService.").removesuffix("Exception")


def _asks_for_fewer_calls(code: str) -> bool:
    return "throttl" in code.lower() or _plain(code) in _THROTTLED


def error_for(operation: str, code: str, http_status: int = 400) -> AwsError:
    """The error for an AWS error code, also for one listed in the answer of a batch.

    An unknown code of the 4xx family counts as `Misconfigured`: it is not known to be the request's
    fault, so nothing may be thrown away for it.
    """
    plain = _plain(code)
    if plain in _TRANSIENT or _asks_for_fewer_calls(code) or http_status >= 500 or http_status == 429:
        return Transient(operation, code)
    if plain in _NOT_FOUND:
        return NotFound(operation, code)
    if plain in _REJECTED:
        return Rejected(operation, code)
    return Misconfigured(operation, code)


INCOMPLETE = "IncompleteAnswer"


def member(answer: Mapping[str, Any], name: str, operation: str) -> Any:
    """A required member of an answer. A broken proxy may send an answer without it.

    Args:
        answer: what the client returned.
        name: the member's name, as in the API Reference.
        operation: the API's name of the call.

    Raises:
        Transient: if it is missing: the same call may work later.
    """
    if answer.get(name) is None:
        raise Transient(operation, INCOMPLETE)
    return answer[name]
