"""AWS's own answers for calls that fail, in the JSON protocols of the four services, and parts of batches.

Codes and members are those of the API references; `__type` and the header `x-amzn-query-error` as the
services send them.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.proxy import Answer

Json = dict[str, Any]

_STATUS = "com.amazonaws.dynamodb.v20120810"
_CORAL = "com.amazon.coral.availability"


_THROTTLES: Mapping[str, tuple[str, ...]] = {
    "SQS": ("com.amazonaws.sqs#RequestThrottled",),
    "Status": (
        f"{_STATUS}#ProvisionedThroughputExceededException",
        f"{_CORAL}#ThrottlingException",
        f"{_STATUS}#RequestLimitExceeded",
    ),
    "Leases": (f"{_STATUS}#ProvisionedThroughputExceededException", f"{_CORAL}#ThrottlingException"),
    "Streams": (f"{_STATUS}#LimitExceededException", f"{_CORAL}#ThrottlingException"),
    "Kinesis": (
        "com.amazonaws.kinesis.v20131202#ProvisionedThroughputExceededException",
        "com.amazonaws.kinesis.v20131202#KMSThrottlingException",
    ),
}
_ERRORS: Mapping[str, tuple[tuple[int, str], ...]] = {
    "SQS": ((500, "com.amazonaws.sqs#InternalFailure"), (503, "com.amazonaws.sqs#ServiceUnavailable")),
    "Status": ((500, f"{_STATUS}#InternalServerError"), (503, f"{_CORAL}#ServiceUnavailableException")),
    "Leases": ((500, f"{_STATUS}#InternalServerError"), (503, f"{_CORAL}#ServiceUnavailableException")),
    "Streams": ((500, f"{_STATUS}#InternalServerError"),),
    "Kinesis": ((500, "InternalFailure"), (503, "ServiceUnavailable")),
}
_EXPIRED_ITERATOR = f"{_STATUS}#ExpiredIteratorException"
_NOT_JSON = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def throttled(operation: str, dice: random.Random) -> Answer:
    """The service asks for fewer calls; GetRecords may say instead that its iterator is too old."""
    service = operation.partition(".")[0]
    codes = _THROTTLES[service]
    if operation.startswith("Streams.GetRecords"):
        codes += (_EXPIRED_ITERATOR,)
    return _error(service, 403 if service == "SQS" else 400, dice.choice(codes))


def failed(operation: str, dice: random.Random) -> Answer:
    """The service fails, or the gateway in front of it does."""
    service = operation.partition(".")[0]
    if dice.random() < 0.25:
        return Answer(502, _NOT_JSON, {"Content-Type": "text/html"})
    status, code = dice.choice(_ERRORS[service])
    return _error(service, status, code)


def _error(service: str, status: int, code: str) -> Answer:
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    if service == "SQS":
        headers["x-amzn-query-error"] = f"{code.partition('#')[2]};{'Sender' if status < 500 else 'Receiver'}"
    return Answer(status, json.dumps({"__type": code, "message": "by the fault plan"}).encode(), headers)


@dataclass(frozen=True, slots=True)
class PartialBatch:
    """A batch of which some entries are to fail: what is forwarded of it, and how its answer is completed."""

    operation: str
    request: Json
    dropped: frozenset[int]
    """Entries that do not reach the emulator."""
    denied: frozenset[int]
    """Entries that do, and are still answered as failed."""

    def forwarded(self) -> bytes | None:
        """The request without the dropped entries, None where nothing is left."""
        name = _ENTRIES[self.operation]
        kept = [entry for index, entry in enumerate(self.request[name]) if index not in self.dropped]
        return json.dumps(self.request | {name: kept}).encode() if kept else None

    def completed(self, answer: Json) -> bytes:
        """The emulator's answer with the failures in it."""
        match self.operation:
            case "Status.BatchExecuteStatement":
                answer = {"Responses": self._in_places(answer.get("Responses", []), *_STATEMENT_FAILURES)}
            case "Kinesis.PutRecords":
                records = self._in_places(answer.get("Records", []), *_RECORD_FAILURES)
                failures = sum("ErrorCode" in record for record in records)
                answer = {"FailedRecordCount": failures, "Records": records}
            case _:
                answer = self._by_id(answer)
        return json.dumps(answer).encode()

    def _in_places(self, results: list[Json], not_done: Json, unsure: Json) -> list[Json]:
        arrived = iter(results)
        places: list[Json] = []
        for index in range(len(self.request[_ENTRIES[self.operation]])):
            result = not_done if index in self.dropped else next(arrived)
            places.append(unsure if index in self.denied and "Error" not in result else result)
        return places

    def _by_id(self, answer: Json) -> Json:
        ids = [entry["Id"] for entry in self.request["Entries"]]
        failing = {ids[index] for index in self.dropped | self.denied}
        already = {each["Id"] for each in answer.get("Failed", [])}
        failures = [
            {"Id": each, "SenderFault": False, "Code": "InternalError", "Message": "by the fault plan"}
            for each in ids
            if each in failing - already
        ]
        return {
            "Successful": [each for each in answer.get("Successful", []) if each["Id"] not in failing],
            "Failed": [*answer.get("Failed", []), *failures],
        }


_ENTRIES: Mapping[str, str] = {
    "SQS.DeleteMessageBatch": "Entries",
    "SQS.ChangeMessageVisibilityBatch": "Entries",
    "SQS.SendMessageBatch": "Entries",
    "Status.BatchExecuteStatement": "Statements",
    "Kinesis.PutRecords": "Records",
}
# First the result of an entry that was not forwarded, then of one that was: only the latter's code leaves
# open whether it took effect.
_STATEMENT_FAILURES: tuple[Json, Json] = (
    {"Error": {"Code": "ThrottlingError", "Message": "by the fault plan"}},
    {"Error": {"Code": "InternalServerError", "Message": "by the fault plan"}},
)
_RECORD_FAILURES: tuple[Json, Json] = (
    {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "by the fault plan"},
    {"ErrorCode": "InternalFailure", "ErrorMessage": "by the fault plan"},
)


def partial(operation: str, body: bytes, dice: random.Random) -> PartialBatch | None:
    """Chooses the entries of a batch that fail, at least one; None for a call that is no batch."""
    if operation not in _ENTRIES:
        return None
    request: Json = json.loads(body)
    count = len(request[_ENTRIES[operation]])
    failing = [index for index in range(count) if dice.random() < 0.4] or [dice.randrange(count)]
    dropped = frozenset(index for index in failing if dice.random() < 0.5)
    return PartialBatch(operation, request, dropped, frozenset(failing) - dropped)
