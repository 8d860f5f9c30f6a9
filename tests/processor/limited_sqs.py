"""SQS's SendMessageBatch with the limits that moto ignores: sizes, characters, attributes, identifiers.

The limits come from "Amazon SQS message quotas" and the API reference of SendMessage and SendMessageBatch.
"""

import re
from typing import Any

from botocore.exceptions import ClientError

KIB = 1_024
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TOKEN = re.compile(r"[!-~]{1,128}")
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws\.|amazon\.))[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


class LimitedSqs:
    """Takes messages as SQS does, or refuses them as SQS does.

    `failures` are codes that the next entries fail with for SQS's own reasons, by message body.
    """

    def __init__(
        self,
        *,
        message_bytes: int = 1_024 * KIB,
        batch_bytes: int = 1_024 * KIB,
        fifo: bool = False,
        refuses_call: bool = False,
    ) -> None:
        self._message_bytes = message_bytes
        self._batch_bytes = batch_bytes
        self._fifo = fifo
        self._refuses_call = refuses_call  # an oversized message fails the call, not only its entry
        self.faults: list[Exception | dict[str, str]] = []
        self.accepted: list[dict[str, Any]] = []
        self.calls: list[list[str]] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803 - SQS's
        """One call; what it took is in `accepted`."""
        assert QueueUrl
        self.calls.append([entry["Id"] for entry in Entries])
        fault = self.faults.pop(0) if self.faults else {}
        if isinstance(fault, Exception):
            raise fault
        if not Entries:
            raise refusal("AWS.SimpleQueueService.EmptyBatchRequest")
        if len(Entries) > 10:
            raise refusal("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        if len({entry["Id"] for entry in Entries}) < len(Entries):
            raise refusal("AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
        if sum(size_of(entry) for entry in Entries) > self._batch_bytes:
            raise refusal("AWS.SimpleQueueService.BatchRequestTooLong")
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        wrong = [self._wrong_with(entry) for entry in Entries]
        if self._refuses_call and "InvalidParameterValue" in wrong:
            raise refusal("InvalidParameterValue")
        for entry, code in zip(Entries, wrong, strict=True):
            theirs = fault.get(entry["MessageBody"])
            if code or theirs:
                failed = {"Id": entry["Id"], "Code": code or theirs, "SenderFault": bool(code)}
                answer["Failed"].append(failed)
            else:
                self.accepted.append(entry)
                answer["Successful"].append({"Id": entry["Id"], "MessageId": f"copy-{len(self.accepted)}"})
        return answer

    def received(self) -> list[dict[str, Any]]:
        """The messages that it has, as ReceiveMessage gives them with all attributes."""
        return [
            {
                "MessageId": f"copy-{number}",
                "ReceiptHandle": f"handle-{number}",
                "Body": entry["MessageBody"],
                "MessageAttributes": entry.get("MessageAttributes", {}),
                "Attributes": {
                    name: value
                    for name, value in {
                        "ApproximateReceiveCount": "1",
                        "SenderId": "AIDAEXAMPLE",
                        "MessageGroupId": entry.get("MessageGroupId"),
                        "AWSTraceHeader": entry.get("MessageSystemAttributes", {})
                        .get("AWSTraceHeader", {})
                        .get("StringValue"),
                    }.items()
                    if value is not None
                },
            }
            for number, entry in enumerate(self.accepted, 1)
        ]

    def _wrong_with(self, entry: dict[str, Any]) -> str | None:
        attributes = entry.get("MessageAttributes", {})
        if not _ID.fullmatch(entry["Id"]):
            return "AWS.SimpleQueueService.InvalidBatchEntryId"
        if not entry["MessageBody"] or size_of(entry) > self._message_bytes or len(attributes) > 10:
            return "InvalidParameterValue"
        texts = [entry["MessageBody"]]
        if any(_is_wrong(name, value) for name, value in attributes.items()):
            return "InvalidParameterValue"
        texts += [value["StringValue"] for value in attributes.values() if "StringValue" in value]
        if any(_FORBIDDEN.search(text) for text in texts):
            return "InvalidMessageContents"
        if not entry.get("MessageSystemAttributes", {}).keys() <= {"AWSTraceHeader"}:
            return "InvalidParameterValue"
        group = entry.get("MessageGroupId")
        if group is not None and not _TOKEN.fullmatch(group):
            return "InvalidParameterValue"
        deduplication = entry.get("MessageDeduplicationId")
        if self._fifo and not (_TOKEN.fullmatch(group or "") and _TOKEN.fullmatch(deduplication or "")):
            return "MissingParameter"
        if not self._fifo and deduplication is not None:
            return "InvalidParameterValue"
        return None


def _is_wrong(name: str, value: dict[str, Any]) -> bool:
    """Whether SQS refuses a message attribute."""
    kind = value["DataType"].partition(".")[0]
    member = "BinaryValue" if kind == "Binary" else "StringValue"
    if not (0 < len(name) <= 256 and _ATTRIBUTE_NAME.fullmatch(name)):
        return True
    if kind not in {"String", "Number", "Binary"} or len(value["DataType"]) > 256:
        return True
    if kind == "Number":
        float(value["StringValue"])
    return value.keys() != {"DataType", member} or not value[member]


def size_of(entry: dict[str, Any]) -> int:
    """What SQS counts of a message: its body, and names, types and values of its attributes."""
    attributes = entry.get("MessageAttributes", {}).items()
    return len(entry["MessageBody"].encode()) + sum(
        len(name)
        + len(value["DataType"])
        + len(value.get("StringValue", "").encode())
        + len(value.get("BinaryValue", b""))
        for name, value in attributes
    )


def refusal(code: str) -> ClientError:
    """An error of the whole call."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(answer, "SendMessageBatch")
