"""What expires is removed with the identity of DynamoDB's TTL, and audited as expired."""

import time
from collections.abc import Callable

import pytest

from handlers.expiry import ShardSource, StreamRecord, audit_entry
from handlers.timestamps import from_epoch_seconds
from processor.streams.api import StreamApi
from processor.streams.leases.lease import Position
from processor.streams.shards import StreamName
from tests.conformance.conftest import Stand
from tests.resources import status_table
from tests.waiting import eventually

# DynamoDB Local looks for expired items every ten seconds and deletes some twenty of them.
WITHIN_SECONDS = 180.0


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["moto", pytest.param("dynamodb_local", marks=pytest.mark.dynamodb_local)])
def test_an_expired_item_is_removed_by_ttl_and_audited_as_expired(
    engine: str, stands: Callable[[str], Stand]
) -> None:
    stand = stands(engine)
    table = status_table(stand.clients, ttl=True)
    expires = int(time.time()) + 1
    for request_id, ttl in (("expired", expires), ("alive", expires + 3_600)):
        stand.clients("dynamodb").put_item(
            TableName=table,
            Item={
                "requestId": {"S": request_id},
                "status": {"S": "processing"},
                "ttl": {"N": str(ttl)},
            },
        )
    api = StreamApi(stand.aws.streams())
    [arn], _ = api.list_streams(table)

    def removals() -> list[StreamRecord]:
        pages = [api.page(api.iterator(arn, shard_id, Position())) for shard_id in api.describe(arn).shards]
        return [record for page in pages for record in page.records if record["eventName"] == "REMOVE"]

    [removal] = eventually(removals, WITHIN_SECONDS)
    name = StreamName.of(arn)
    source = ShardSource(table, name.region, arn, "shard")
    entry = audit_entry(removal, source=source, read_at=from_epoch_seconds(time.time()))
    assert entry is not None
    assert (entry.action, entry.request_id) == ("export.expired", "expired")
    assert (entry.last_status, entry.finished) == ("processing", False)
    assert entry.actor is not None
    assert (entry.actor.type, entry.actor.principal_id) == ("Service", "dynamodb.amazonaws.com")
    assert entry.deletion_lag_seconds is not None
    assert 0 <= entry.deletion_lag_seconds <= WITHIN_SECONDS
