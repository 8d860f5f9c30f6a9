"""AWS's own answers for calls that fail, in the JSON protocols of the four services, and parts of batches.

Codes and members are those of the API references; `__type` and the header `x-amzn-query-error` as the
services send them.
"""

import json
import random
from collections.abc import Mapping
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


_ENTRIES: Mapping[str, str] = {
    "SQS.DeleteMessageBatch": "Entries",
    "SQS.ChangeMessageVisibilityBatch": "Entries",
    "SQS.SendMessageBatch": "Entries",
    "Status.BatchExecuteStatement": "Statements",
    "Kinesis.PutRecords": "Records",
}
# First the code of an entry that was not forwarded, then of one that was: only the latter's leaves open
# whether it took effect.
_CODES: Mapping[str, tuple[str, str]] = {
    "SQS": ("InternalError", "InternalError"),
    "Status": ("ThrottlingError", "InternalServerError"),
    "Kinesis": ("ProvisionedThroughputExceededException", "InternalFailure"),
}


class PartialBatch:
    """A batch of which some entries are to fail, at least one."""

    def __init__(self, operation: str, body: bytes, dice: random.Random) -> None:
        self._service = operation.partition(".")[0]
        self._request: Json = json.loads(body)
        self._name = _ENTRIES[operation]
        self._entries: list[Json] = self._request[self._name]
        count = len(self._entries)
        self._failing = {index for index in range(count) if dice.random() < 0.4} or {dice.randrange(count)}
        self._dropped = {index for index in self._failing if dice.random() < 0.5}

    def forwarded(self) -> bytes | None:
        """The request without the entries that do not reach the emulator; None where nothing is left."""
        kept = [entry for index, entry in enumerate(self._entries) if index not in self._dropped]
        return json.dumps(self._request | {self._name: kept}).encode() if kept else None

    def completed(self, answer: Json) -> bytes:
        """The emulator's answer with the failures in it."""
        arrived = iter(self._results(answer))
        results = []
        for index, entry in enumerate(self._entries):
            result = self._failure(entry, 0) if index in self._dropped else next(arrived)
            has_failed = bool({"Code", "Error", "ErrorCode"} & result.keys())
            results.append(result if index not in self._failing or has_failed else self._failure(entry, 1))
        match self._service:
            case "SQS":
                failed = [each for each in results if "Code" in each]
                successful = [each for each in results if "Code" not in each]
                completed: Json = {"Successful": successful, "Failed": failed}
            case "Status":
                completed = {"Responses": results}
            case _:
                failures = sum("ErrorCode" in each for each in results)
                completed = {"FailedRecordCount": failures, "Records": results}
        return json.dumps(completed).encode()

    def _results(self, answer: Json) -> list[Json]:
        """Those of the entries that were forwarded, in their order."""
        if self._service != "SQS":
            results: list[Json] = answer.get("Responses") or answer.get("Records") or []
            return results
        by_id = {each["Id"]: each for each in [*answer.get("Successful", []), *answer.get("Failed", [])]}
        return [by_id[entry["Id"]] for entry in self._entries if entry["Id"] in by_id]

    def _failure(self, entry: Json, which: int) -> Json:
        code, message = _CODES[self._service][which], "by the fault plan"
        match self._service:
            case "SQS":
                return {"Id": entry["Id"], "SenderFault": False, "Code": code, "Message": message}
            case "Status":
                return {"Error": {"Code": code, "Message": message}}
            case _:
                return {"ErrorCode": code, "ErrorMessage": message}


def partial(operation: str, body: bytes, dice: random.Random) -> PartialBatch | None:
    """The batch, with the entries chosen that fail; None for a call that is no batch."""
    return PartialBatch(operation, body, dice) if operation in _ENTRIES else None
