"""The leases table: consistent reads, and conditional writes that never undo another task's work."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from processor.aws.calls import call
from processor.aws.errors import ConditionFailed, member
from processor.observability.log import get_logger
from processor.streams.leases.lease import (
    SHARD_END,
    Attributes,
    Lease,
    from_attributes,
    number,
    to_attributes,
)


class LeasesClient(Protocol):
    """As much of the DynamoDB client as the leases need."""

    @property
    def scan(self) -> Callable[..., Any]:
        """Scan."""

    @property
    def put_item(self) -> Callable[..., Any]:
        """PutItem."""

    @property
    def update_item(self) -> Callable[..., Any]:
        """UpdateItem."""

    @property
    def delete_item(self) -> Callable[..., Any]:
        """DeleteItem."""


class LeaseTable:
    """Reads and writes lease rows. Methods raise `AwsError`s; `ConditionFailed`: another writer was first."""

    def __init__(self, client: LeasesClient, table: str) -> None:
        self._client = client
        self._table = table
        self.unreadable: frozenset[str] = frozenset()
        """Keys of the rows that the last scan could not read, so that their shards were left out."""

    def scan(self) -> tuple[Lease, ...]:
        """Every lease row, read consistently; rows that are not ours are left out."""
        leases: list[Lease] = []
        unreadable: set[str] = set()
        start: dict[str, Any] = {}
        while True:
            page = call(self._client.scan, TableName=self._table, ConsistentRead=True, **start)
            for row in member(page, "Items", "Scan"):
                try:
                    lease = from_attributes(row)
                except ValueError:
                    unreadable.add(str(row.get("leaseKey", {}).get("S")))
                    continue
                if lease is not None:
                    leases.append(lease)
            if not page.get("LastEvaluatedKey"):
                self._note_unreadable(frozenset(unreadable))
                return tuple(leases)
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def create(self, lease: Lease) -> bool:
        """Puts a row where there is none.

        Returns:
            Whether it was put; False if the shard has a row already, which is left unchanged.
        """
        try:
            call(
                self._client.put_item,
                TableName=self._table,
                Item=to_attributes(lease),
                ConditionExpression="attribute_not_exists(leaseKey)",
            )
        except ConditionFailed:
            return False
        return True

    def update(
        self,
        key: str,
        *,
        counter: int,
        owner: str | None,
        sets: Attributes,
        removes: frozenset[str] = frozenset(),
        absent: str | None = None,
        requester: str | None = None,
    ) -> Lease:
        """Changes a row if its counter and owner are what the caller has seen.

        Args:
            key: the row's key.
            counter: the `leaseCounter` seen.
            owner: the `leaseOwner` seen, None for none.
            sets: attributes to set.
            removes: attributes to remove.
            absent: an attribute that must not be there.
            requester: who must still be asking for the lease, None if that does not matter.

        Returns:
            The present row.

        Raises:
            ConditionFailed: with the present row instead; also where it cannot be parsed.
        """
        names = {f"#{index}": name for index, name in enumerate([*sets, *sorted(removes)])}
        placeholders = {name: placeholder for placeholder, name in names.items()}
        values: dict[str, Mapping[str, Any]] = {
            f":{index}": value for index, value in enumerate(sets.values())
        }
        expression = "SET " + ", ".join(f"#{index} = :{index}" for index in range(len(sets)))
        if removes:
            expression += " REMOVE " + ", ".join(placeholders[name] for name in sorted(removes))
        condition = "leaseCounter = :seenCounter"
        values[":seenCounter"] = number(counter)
        if owner is None:
            condition += " AND attribute_not_exists(leaseOwner)"
        else:
            condition += " AND leaseOwner = :seenOwner"
            values[":seenOwner"] = {"S": owner}
        if absent is not None:
            condition += f" AND attribute_not_exists({absent})"
        if requester is not None:
            condition += " AND x_requestedBy = :requester"
            values[":requester"] = {"S": requester}
        answer = call(
            self._client.update_item,
            TableName=self._table,
            Key={"leaseKey": {"S": key}},
            UpdateExpression=expression,
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        row: Attributes = member(answer, "Attributes", "UpdateItem")
        lease = _read(row)
        if lease is None:
            raise ConditionFailed("UpdateItem", "UnreadableRow", row)
        return lease

    def request(self, lease: Lease, worker: str) -> bool:
        """Asks the lease's owner to hand it over; the counter stays, so the owner's own writes go on.

        Returns:
            Whether the request is in the row now.
        """
        try:
            self.update(
                lease.key,
                counter=lease.counter,
                owner=lease.owner,
                sets={"x_requestedBy": {"S": worker}},
                absent="x_requestedBy",
            )
        except ConditionFailed:
            return False
        return True

    def withdraw(self, key: str, worker: str) -> Lease | None:
        """Takes back what a worker has asked for with `request`, whatever else has changed in the row.

        The counter stays, so the owner's own writes go on.

        Returns:
            The present row, also where the worker does not ask for it any more; None if it is gone.
        """
        row: Attributes | None
        try:
            answer = call(
                self._client.update_item,
                TableName=self._table,
                Key={"leaseKey": {"S": key}},
                UpdateExpression="REMOVE x_requestedBy",
                ConditionExpression="x_requestedBy = :worker",
                ExpressionAttributeValues={":worker": {"S": worker}},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
            row = member(answer, "Attributes", "UpdateItem")
        except ConditionFailed as refused:
            row = refused.item
        return _read(row or {})

    def free(self, lease: Lease) -> None:
        """Removes the owner from a row that no worker holds, unless the row has changed.

        A request goes with it: no worker could answer it.
        """
        sets = {"leaseCounter": number(lease.counter + 1)}
        self._change(lease, sets=sets, removes=frozenset({"leaseOwner", "x_requestedBy", "x_stopping"}))

    def mark_gap_reported(self, lease: Lease) -> None:
        """Notes that the loss of this shard was reported, unless the row has changed."""
        self._change(lease, sets={"x_gapReported": {"BOOL": True}})

    def delete_finished(self, lease: Lease) -> bool:
        """Removes the row of a finished shard, unless it has changed.

        Returns:
            Whether it was removed.
        """
        try:
            call(
                self._client.delete_item,
                TableName=self._table,
                Key={"leaseKey": {"S": lease.key}},
                ConditionExpression="leaseCounter = :seen AND checkpoint = :end",
                ExpressionAttributeValues={":seen": number(lease.counter), ":end": {"S": SHARD_END}},
            )
        except ConditionFailed:
            return False
        return True

    def _change(self, lease: Lease, *, sets: Attributes, removes: frozenset[str] = frozenset()) -> None:
        """A write that is needless once the row has changed."""
        try:
            self.update(lease.key, counter=lease.counter, owner=lease.owner, sets=sets, removes=removes)
        except ConditionFailed:
            return

    def _note_unreadable(self, keys: frozenset[str]) -> None:
        news, self.unreadable = keys - self.unreadable, keys
        for key in sorted(news):
            get_logger().error("lease_row_unreadable", lease_key=key)


def _read(row: Attributes) -> Lease | None:
    """A row; None where it is not ours or cannot be parsed."""
    try:
        return from_attributes(row)
    except ValueError:
        return None
