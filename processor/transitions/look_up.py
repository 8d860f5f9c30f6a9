"""The one look-up of a batch: a consistent BatchGetItem for what the writes could not tell."""

from collections.abc import Iterable, Mapping

from handlers.export import Item
from processor.aws.errors import AwsError
from processor.transitions.status_table import StatusTable

BATCH_GET_MAX_KEYS = 100  # keys of a call ("BatchGetItem", DynamoDB API Reference)


class LookUp:
    """Asks the table at most once for each batch, whatever its size (docs/invariants.md, law 11).

    Args:
        table: the status table.
        late_too: whether items of expired events are looked up, for the log. False while the queue holds an
            old backlog: then what is worthless must cost no more than what is fresh.
    """

    def __init__(self, table: StatusTable, *, late_too: bool) -> None:
        self._table = table
        self._late_too = late_too
        self._late: dict[str, None] = {}
        self._found: Mapping[str, Item | None] | None = None  # not asked yet
        self.error: AwsError | None = None
        """Why the look-up failed; None if it did not."""

    def add_late(self, request_ids: Iterable[str]) -> None:
        """Adds keys of expired events, to be looked up together with others."""
        if self._late_too:
            self._late |= dict.fromkeys(request_ids)

    def items(self, request_ids: Iterable[str], deadline: float) -> Mapping[str, Item | None]:
        """Looks items up, or returns what is known if the table was asked before.

        Args:
            request_ids: the keys; the keys of expired events come along.
            deadline: on `time.monotonic()`; no call begins after it.

        Returns:
            By key the item, None where there is none. Keys without an answer are left out.
        """
        keys = list(dict.fromkeys([*request_ids, *self._late]))[:BATCH_GET_MAX_KEYS]
        if self._found is not None or not keys or not self._table.has_time(deadline):
            return self._found or {}
        self._found = {}
        try:
            self._found = self._table.get_items(keys)
        except AwsError as error:
            self.error = error
        return self._found

    def presence(self, deadline: float) -> Mapping[str, bool]:
        """Whether the items of the expired events are there, dead or alive. Keys without an answer are left
        out."""
        found = self.items((), deadline)
        return {key: found[key] is not None for key in self._late if key in found}
