"""A Kinesis stream in memory that keeps the limits of PutRecords and fails on demand, as the real one may."""

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from handlers.audit import AuditEntry, AuditSource
from tests.audit.kcl_oracle import WHOLE, Shard, accepted, shard_of

MIB = 1_024 * 1_024


def entry(audit_id: str, request_id: str, **changes: Any) -> AuditEntry:
    """An entry as the service makes them, of the usual size."""
    usual: dict[str, Any] = {
        "audit_id": audit_id,
        "action": "export.expired",
        "request_id": request_id,
        "last_status": "completed",
        "finished": True,
        "created_at": "2026-11-22T10:00:00.000Z",
        "updated_at": "2026-11-22T10:00:07.250Z",
        "expires_at": "2026-11-22T10:15:00.000Z",
        "deleted_at": "2026-11-22T10:15:41.000Z",
        "deletion_lag_seconds": 41,
        "file_name": "report.csv",
        "error": None,
        "had_signed_url": True,
        "actor": {"type": "Service", "principal_id": "dynamodb.amazonaws.com"},
        "source": AuditSource(
            table="export-status",
            region="us-east-1",
            stream_arn="arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T00:00:00.000",
            shard_id="shardId-00000001795341600000-0a1b2c3d",
            sequence_number="111111111111111111111",
        ),
    }
    return AuditEntry(**{**usual, **changes})


def client_error(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PutRecords",
    )


def timeout() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="http://127.0.0.1")


@dataclass(frozen=True, slots=True)
class Fault:
    """What one call does: which of its records are taken, and what it answers or raises."""

    taken: Callable[[int], bool] = lambda _: True
    code: str = "ProvisionedThroughputExceededException"
    raises: Callable[[], Exception] | None = None


NO_FAULT = Fault()
PARTIAL = Fault(taken=lambda index: index % 2 == 0)
ALL_THROTTLED = Fault(taken=lambda _: False)
INTERNAL = Fault(taken=lambda index: index % 3 != 0, code="InternalFailure")
THROTTLED_CALL = Fault(lambda _: False, raises=lambda: client_error("ProvisionedThroughputExceededException"))
SERVER_ERROR = Fault(lambda _: False, raises=lambda: client_error("InternalFailure", 500))
TIMEOUT_BEFORE = Fault(lambda _: False, raises=timeout)
TIMEOUT_AFTER = Fault(raises=timeout)
TIMEOUT_HALFWAY = Fault(lambda index: index % 2 == 1, raises=timeout)

FAULTS = {
    "no fault": NO_FAULT,
    "partial failure": PARTIAL,
    "all records throttled": ALL_THROTTLED,
    "internal failures": INTERNAL,
    "call throttled": THROTTLED_CALL,
    "server error": SERVER_ERROR,
    "timeout before the put": TIMEOUT_BEFORE,
    "timeout after the put": TIMEOUT_AFTER,
    "timeout halfway": TIMEOUT_HALFWAY,
}


class FakeKinesis:
    """Answers PutRecords. Faults are used up one a call, then all calls succeed."""

    def __init__(
        self,
        faults: Sequence[Fault] = (),
        *,
        shards: Sequence[Shard] = (WHOLE,),
        during: Callable[[list[str]], object] = lambda _: None,
    ) -> None:
        self.shards = shards
        self.records: list[tuple[Shard, Mapping[str, Any]]] = []
        self.calls: list[list[Mapping[str, Any]]] = []
        self._faults = list(faults)
        self._during = during
        self._lock = threading.Lock()
        self._in_flight: set[str] = set()
        self._shuffle = random.Random(0)

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert StreamName == "export-audit"
        keys = [record["PartitionKey"] for record in Records]
        self._check_limits(Records)
        with self._lock:
            assert len(set(keys)) == len(keys), "two records of one bucket in one call"
            assert self._in_flight.isdisjoint(keys), "two records of one bucket in flight"
            self._in_flight.update(keys)
            self.calls.append(list(Records))
            fault = self._faults.pop(0) if self._faults else NO_FAULT
        try:
            self._during(keys)
            return self._answer(fault, Records)
        finally:
            with self._lock:
                self._in_flight.difference_update(keys)

    def _answer(self, fault: Fault, given: list[dict[str, Any]]) -> dict[str, Any]:
        taken = [index for index in range(len(given)) if fault.taken(index)]
        with self._lock:
            # PutRecords keeps no order between the records of one call.
            for index in self._shuffle.sample(taken, len(taken)):
                self.records.append((shard_of(self.shards, given[index]["ExplicitHashKey"]), given[index]))
        if fault.raises is not None:
            raise fault.raises()
        results = [
            {"SequenceNumber": "49", "ShardId": "shardId-000000000000"}
            if index in taken
            else {"ErrorCode": fault.code, "ErrorMessage": "no"}
            for index in range(len(given))
        ]
        return {"FailedRecordCount": len(given) - len(taken), "Records": results}

    @staticmethod
    def _check_limits(records: list[dict[str, Any]]) -> None:
        sizes = [len(record["Data"]) + len(record["PartitionKey"].encode()) for record in records]
        assert 1 <= len(records) <= 500
        assert max(sizes) <= MIB
        assert sum(sizes) <= 5 * MIB
        for record in records:
            assert 1 <= len(record["PartitionKey"]) <= 256
            assert re.fullmatch(r"0|([1-9]\d{0,38})", record["ExplicitHashKey"])

    def entries(self) -> Iterator[AuditEntry]:
        """What a KCL consumer sees, shard by shard, in the order of each shard."""
        for shard in self.shards:
            for home, record in self.records:
                if home == shard:
                    for data in accepted(record["Data"], shard):
                        yield AuditEntry.model_validate_json(data)

    def first_appearances(self) -> dict[str, list[str]]:
        """The audit ids of each export in the order in which they first appear."""
        seen: dict[str, list[str]] = {}
        for arrived in self.entries():
            ids = seen.setdefault(arrived.request_id, [])
            if arrived.audit_id not in ids:
                ids.append(arrived.audit_id)
        return seen
