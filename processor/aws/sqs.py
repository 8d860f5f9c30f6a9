"""Answers of SQS's batch calls, read entry by entry; entry ids are indexes."""

from collections.abc import Mapping
from typing import Any

from processor.aws.errors import Transient


def done_and_refused(operation: str, answer: Mapping[str, Any]) -> tuple[set[int], set[int]]:
    """The entries that are done, and those that no further try can help. All others may be tried again.

    Args:
        operation: the API's name of the call.
        answer: what it answered.

    Raises:
        Transient: if the answer is none of SQS's.
    """
    try:
        return (
            {int(success["Id"]) for success in answer.get("Successful", [])},
            {int(failure["Id"]) for failure in answer.get("Failed", []) if failure.get("SenderFault")},
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        raise Transient(operation, "UnreadableAnswer") from None
