"""Why DynamoDB refuses an item: for its content alone, or because the key or an index wants another type.

An index whose key has another type than we write refuses every event that has the attribute, whether or not
the table takes others (docs/invariants.md, law 9). Such events are good: they wait until the index is gone.
"""

import threading
from collections.abc import Mapping
from typing import Any

from processor.aws.calls import call
from processor.aws.errors import AwsError, Misconfigured, Rejected
from processor.startup_checks import wrong_key
from processor.transitions.status_table import StatusTable, Unexplained

DESCRIBE_EVERY_SECONDS = 5.0
VALID_SECONDS = 1.0  # an index is made in minutes: so long a description explains refusals that follow it
_ATTRIBUTES = ("requestId", "status", "createdAt", "updatedAt", "signedUrl", "fileName", "error")
_WRITTEN_TYPES = dict.fromkeys(_ATTRIBUTES, "S") | {"ttl": "N"}  # docs/contract.md, section 1


class Refusals:
    """Explains refusals by DescribeTable, at a limited rate; safe for many threads.

    Args:
        table: the status table.
    """

    def __init__(self, table: StatusTable) -> None:
        self._table = table
        self._monotonic = table.context.clocks.monotonic
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._mismatch: str | None = None
        self._answered = False

    def explain(self, error: AwsError) -> AwsError:
        """The error that an event's result follows from.

        Args:
            error: why a write failed.

        Returns:
            The error itself where it is no refusal, or the item's own. `Misconfigured` with the index's name
            where an index wants another type. `Unexplained` where that is not known: the event comes back.
        """
        if not isinstance(error, Rejected):
            return error
        with self._lock:
            age = self._monotonic() - self._asked_at
            if age >= DESCRIBE_EVERY_SECONDS:
                self._describe()
                age = 0.0
            if self._mismatch:
                return Misconfigured(error.operation, self._mismatch)
            if self._answered and age <= VALID_SECONDS:
                return error
        return Unexplained(error.operation, "RefusalNotExplained")

    def check(self) -> None:
        """Looks again whether an index that refused writes is gone.

        Raises:
            Misconfigured: if it is still there.
        """
        with self._lock:
            if not self._mismatch:
                return
            self._describe()
            if self._mismatch:
                raise Misconfigured("UpdateItem", self._mismatch)

    def _describe(self) -> None:
        self._asked_at = self._monotonic()
        try:
            description = call(self._table.client.describe_table, TableName=self._table.name)["Table"]
        except AwsError:
            self._answered = False  # what was known of an index stands
            return
        self._answered = True
        key = wrong_key(description, "requestId")
        self._mismatch = f"the table's key is {key}, not requestId (S)" if key else wrong_index(description)


def wrong_index(description: Mapping[str, Any]) -> str | None:
    """The first index whose key wants another type than we write: `the index NAME …`, else None.

    Args:
        description: the table's, as DescribeTable gives it.
    """
    types = {each["AttributeName"]: each["AttributeType"] for each in description["AttributeDefinitions"]}
    kinds = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    for index in [each for kind in kinds for each in description.get(kind) or []]:
        for key in index["KeySchema"]:
            name = key["AttributeName"]
            written = _WRITTEN_TYPES.get(name)
            if written and types.get(name, written) != written:
                return f"the index {index['IndexName']} wants {name} of type {types[name]}, not {written}"
    return None
