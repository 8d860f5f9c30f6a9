"""DynamoDB's TTL, which moto lacks: deletes expired items and marks the stream records as TTL's own."""

from collections.abc import Iterator

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

TTL_IDENTITY = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
"""The mark of a deletion by TTL in a stream ("DynamoDB Streams and Time to Live")."""

MAX_AGE_SECONDS = 5 * 365 * 24 * 3_600
"""Older items are not deleted ("Using time to live (TTL) in DynamoDB": five years)."""


def reap(now: float) -> int:
    """Deletes the expired items of every table with TTL enabled.

    The caller holds the turn, so that no reader gets a record before it has its `userIdentity`.

    Args:
        now: Unix seconds.

    Returns:
        How many items were deleted.
    """
    deleted = 0
    for backend in dynamodb_backends[DEFAULT_ACCOUNT_ID].values():
        for table in list(backend.tables.values()):
            for item in _expired(table, now):
                table.delete_item(item.hash_key, item.range_key)
                if table.stream_shard is not None:
                    table.stream_shard.items[-1].record["userIdentity"] = TTL_IDENTITY
                deleted += 1
    return deleted


def _expired(table: Table, now: float) -> Iterator[Item]:
    if table.ttl["TimeToLiveStatus"] != "ENABLED":
        return
    attribute = table.ttl["AttributeName"]
    for item in list(table.all_items()):
        ttl = item.attrs.get(attribute)
        if ttl is not None and ttl.type == "N" and now - MAX_AGE_SECONDS < float(ttl.value) <= now:
            yield item
