"""What an AWS answer must hold: one without it, as a broken proxy sends it, is no answer but a failure."""

from collections.abc import Mapping
from typing import Any

from processor.aws.errors import Transient

INCOMPLETE = "IncompleteAnswer"


def member(answer: Mapping[str, Any], name: str, operation: str) -> Any:
    """A member of an answer.

    Args:
        answer: what the client returned.
        name: the member's, as in the API Reference.
        operation: the API's name of the call.

    Raises:
        Transient: if it is missing: the same call may work later.
    """
    if answer.get(name) is None:
        raise Transient(operation, INCOMPLETE)
    return answer[name]
