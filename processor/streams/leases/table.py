"""The leases table: consistent reads, and conditional writes that never undo another task's work."""

from collections.abc import Callable, Mapping
from typing import Any

from processor.aws.calls import call
from processor.aws.errors import ConditionFailed, member
from processor.observability.log import get_logger
from processor.streams.leases.lease import (
    SHARD_END,
    Attributes,
    Lease,
    from_attributes,
    number,
    parsed,
    to_attributes,
)

Expected = Mapping[str, Mapping[str, Any] | None]
"""What a row's attributes must be for a write to happen; None: there must be no such attribute."""


class LeaseTable:
    """Reads and writes lease rows. Methods raise `AwsError`s; `ConditionFailed`: another writer was first.

    Args:
        client: of DynamoDB.
        table: the table's name.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table
        self.unreadable: frozenset[str] = frozenset()
        """Keys of the rows that the last scan could not read, so that their shards were left out."""

    def scan(self) -> tuple[Lease, ...]:
        """Every lease row, read consistently; rows that are not ours are left out."""
        rows: list[Attributes] = []
        start: dict[str, Any] = {}
        while True:
            page = call(self._client.scan, TableName=self._table, ConsistentRead=True, **start)
            rows += member(page, "Items", "Scan")
            if not page.get("LastEvaluatedKey"):
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        leases: list[Lease] = []
        unreadable: set[str] = set()
        for row in rows:
            try:
                lease = from_attributes(row)
            except ValueError:
                unreadable.add(str(row.get("leaseKey", {}).get("S")))
                continue
            if lease is not None:
                leases.append(lease)
        for key in sorted(unreadable - self.unreadable):
            get_logger().error("lease_row_unreadable", lease_key=key)
        self.unreadable = frozenset(unreadable)
        return tuple(leases)

    def create(self, lease: Lease) -> bool:
        """Puts a row where there is none.

        Returns:
            Whether it was put; False if the shard has a row already, which is left unchanged.
        """
        return _happened(
            lambda: call(
                self._client.put_item,
                TableName=self._table,
                Item=to_attributes(lease),
                ConditionExpression="attribute_not_exists(leaseKey)",
            )
        )

    def update(
        self, key: str, expected: Expected, sets: Attributes, removes: frozenset[str] = frozenset()
    ) -> Lease:
        """Changes a row if it is as expected.

        Args:
            key: the row's key.
            expected: what must be true of the row.
            sets: attributes to set.
            removes: attributes to remove.

        Returns:
            The present row.

        Raises:
            ConditionFailed: with the present row instead; also where it cannot be parsed.
        """
        expression = "SET " + ", ".join(f"{name} = :{name}" for name in sets) if sets else ""
        if removes:
            expression += " REMOVE " + ", ".join(sorted(removes))
        condition = _condition(expected)
        condition["ExpressionAttributeValues"] |= {f":{name}": value for name, value in sets.items()}
        answer = call(
            self._client.update_item,
            TableName=self._table,
            Key={"leaseKey": {"S": key}},
            UpdateExpression=expression.strip(),
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **condition,
        )
        row: Attributes = member(answer, "Attributes", "UpdateItem")
        lease = parsed(row)
        if lease is None:
            raise ConditionFailed("UpdateItem", "UnreadableRow", row)
        return lease

    def request(self, lease: Lease, worker: str) -> bool:
        """Asks the lease's owner to hand it over; the counter stays, so the owner's own writes go on.

        Returns:
            Whether the request is in the row now.
        """
        expected = {**unchanged(lease), "x_requestedBy": None}
        return _happened(lambda: self.update(lease.key, expected, {"x_requestedBy": {"S": worker}}))

    def withdraw(self, key: str, worker: str) -> Lease | None:
        """Takes back what a worker has asked for with `request`, whatever else has changed in the row.

        The counter stays, so the owner's own writes go on.

        Returns:
            The present row, also where the worker does not ask for it any more; None if it is gone.
        """
        try:
            return self.update(key, {"x_requestedBy": {"S": worker}}, {}, frozenset({"x_requestedBy"}))
        except ConditionFailed as refused:
            return parsed(refused.item)

    def free(self, lease: Lease) -> None:
        """Removes the owner from a row that no worker holds, unless the row has changed.

        A request goes with it: no worker could answer it.
        """
        sets = {"leaseCounter": number(lease.counter + 1)}
        removes = frozenset({"leaseOwner", "x_requestedBy", "x_stopping"})
        _happened(lambda: self.update(lease.key, unchanged(lease), sets, removes))

    def mark_gap_reported(self, lease: Lease) -> None:
        """Notes that the loss of this shard was reported, unless the row has changed."""
        sets = {"x_gapReported": {"BOOL": True}}
        _happened(lambda: self.update(lease.key, unchanged(lease), sets))

    def delete_finished(self, lease: Lease) -> bool:
        """Removes the row of a finished shard, unless it has changed.

        Returns:
            Whether it was removed.
        """
        expected = {"leaseCounter": number(lease.counter), "checkpoint": {"S": SHARD_END}}
        return _happened(
            lambda: call(
                self._client.delete_item,
                TableName=self._table,
                Key={"leaseKey": {"S": lease.key}},
                **_condition(expected),
            )
        )


def unchanged(lease: Lease) -> Expected:
    """What holds as long as no worker has written the row since it was read."""
    owner = None if lease.owner is None else {"S": lease.owner}
    return {"leaseCounter": number(lease.counter), "leaseOwner": owner}


def _happened(write: Callable[[], object]) -> bool:
    try:
        write()
    except ConditionFailed:
        return False
    return True


def _condition(expected: Expected) -> dict[str, Any]:
    """A conditional write's arguments."""
    clauses = [
        f"attribute_not_exists({name})" if value is None else f"{name} = :seen_{name}"
        for name, value in expected.items()
    ]
    values = {f":seen_{name}": value for name, value in expected.items() if value is not None}
    return {"ConditionExpression": " AND ".join(clauses), "ExpressionAttributeValues": values}
