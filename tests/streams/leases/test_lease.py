"""Lease rows: the Kinesis Client Library's layout, and rows that others wrote."""

from typing import Any

import pytest

from processor.streams.leases.lease import (
    Position,
    from_attributes,
    lease_key,
    new_lease,
    number,
    shows,
    to_attributes,
)

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T10:00:00.000"


def row(**changes: Any) -> dict[str, Any]:
    """A row in the middle of its life; None takes an attribute out."""
    attributes: dict[str, Any] = {
        "leaseKey": {"S": lease_key(ARN, "shard-2")},
        "leaseOwner": {"S": "worker-1"},
        "leaseCounter": {"N": "7"},
        "checkpoint": {"S": "111500000000003498069978"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "1"},
        "parentShardId": {"SS": ["shard-1"]},
        "childShardIds": {"SS": ["shard-4", "shard-3"]},
        "shardId": {"S": "shard-2"},
        "x_streamArn": {"S": ARN},
        "x_createdAt": {"N": "1795400000.25"},
        "x_trackedSince": {"N": "1795300000"},
        "x_lastRecordAt": {"N": "1795400001"},
    } | changes
    return {name: value for name, value in attributes.items() if value is not None}


def test_a_new_row_has_the_layout_of_the_kinesis_client_library() -> None:
    lease = new_lease(
        ARN, "shard-2", frozenset({"shard-1"}), now=1_795_400_000.0, tracked_since=1_795_300_000.0
    )
    assert to_attributes(lease) == {
        "leaseKey": {"S": "export-status/stream/2026-11-22T10:00:00.000/shard-2"},
        "leaseCounter": {"N": "0"},
        "checkpoint": {"S": "TRIM_HORIZON"},
        "checkpointSubSequenceNumber": {"N": "0"},
        "ownerSwitchesSinceCheckpoint": {"N": "0"},
        "parentShardId": {"SS": ["shard-1"]},
        "shardId": {"S": "shard-2"},
        "x_streamArn": {"S": ARN},
        "x_createdAt": {"N": "1795400000"},
        "x_trackedSince": {"N": "1795300000"},
    }
    assert from_attributes(to_attributes(lease)) == lease


def test_a_row_is_read_whole() -> None:
    lease = from_attributes(row())
    assert lease is not None
    assert (lease.owner, lease.counter, lease.owner_switches) == ("worker-1", 7, 1)
    assert lease.position == Position("111500000000003498069978", 1_795_400_001.0)
    assert (lease.parents, lease.children) == (frozenset({"shard-1"}), frozenset({"shard-3", "shard-4"}))
    assert not lease.finished


def test_two_streams_of_one_table_never_share_a_row() -> None:
    assert lease_key(ARN, "shard-1") != lease_key(ARN.replace("22T", "23T"), "shard-1")


@pytest.mark.parametrize("checkpoint", ["SHARD_END", "TRIM_HORIZON", "LATEST", "", "12x", "١٢"])
def test_every_other_checkpoint_means_the_oldest_record_and_never_the_latest(checkpoint: str) -> None:
    lease = from_attributes(row(checkpoint={"S": checkpoint}))
    assert lease is not None
    assert (lease.position, lease.finished) == (Position(), checkpoint == "SHARD_END")


def test_a_row_of_the_kinesis_client_library_itself_is_none_of_ours() -> None:
    kcl: dict[str, dict[str, Any]] = {
        "leaseKey": {"S": "shardId-00000001541626099285-f35f62ef"},
        "leaseOwner": {"S": "somebody"},
        "leaseCounter": {"N": "12"},
        "checkpoint": {"S": "SHARD_END"},
        "parentShardId": {"SS": ["shardId-00000001541626099000-aa"]},
        "startingHashKey": {"S": "0"},
        "entityType": {"S": "LEASE"},
    }
    assert from_attributes(kcl) is None
    assert from_attributes({"leaseKey": {"S": "leader"}, "entityType": {"S": "LEADER"}}) is None


@pytest.mark.parametrize("missing", ["leaseKey", "leaseCounter", "checkpoint", "shardId"])
def test_a_row_of_ours_that_lacks_what_it_must_have_is_refused(missing: str) -> None:
    with pytest.raises(ValueError, match="must have"):
        from_attributes(row(**{missing: None}))


def test_a_write_shows_in_a_row_only_if_every_attribute_is_as_it_set_it() -> None:
    sets: dict[str, dict[str, Any]] = {
        "leaseCounter": {"N": "7"},
        "childShardIds": {"SS": ["shard-3", "shard-4"]},
    }
    assert shows(row(), sets, frozenset())
    assert shows(row(), sets | {"x_lastRecordAt": {"N": "1795400001.0"}}, frozenset({"x_requestedBy"}))
    assert not shows(row(), sets | {"leaseOwner": {"S": "worker-2"}}, frozenset())
    assert not shows(row(), sets | {"x_endedAt": {"N": "1"}}, frozenset())
    assert not shows(row(), sets, frozenset({"leaseOwner"}))


@pytest.mark.parametrize("value", [0, 7, 1_795_400_000.0, 1_795_400_000.25, 1_795_400_000.123456])
def test_a_number_reads_back_as_it_was_to_the_millisecond(value: float) -> None:
    assert float(number(value)["N"]) == pytest.approx(value, abs=0.001)
