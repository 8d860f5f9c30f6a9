"""The answers of the calls made most, in the form in which boto3 returns them.

msgspec reads JSON into these types in one step. An answer that does not fit is left to botocore's parser.
"""

from typing import Any, TypedDict

from msgspec.json import Decoder


class _AttributeValue(TypedDict, total=False):
    S: str
    N: str
    B: bytes
    SS: list[str]
    NS: list[str]
    BS: list[bytes]
    M: "dict[str, _AttributeValue]"
    L: "list[_AttributeValue]"
    NULL: bool
    BOOL: bool


_Item = dict[str, _AttributeValue]


class _MessageAttribute(TypedDict, total=False):
    StringValue: str
    BinaryValue: bytes
    StringListValues: list[str]
    BinaryListValues: list[bytes]
    DataType: str


class _Message(TypedDict, total=False):
    MessageId: str
    ReceiptHandle: str
    MD5OfBody: str
    Body: str
    Attributes: dict[str, str]
    MD5OfMessageAttributes: str
    MessageAttributes: dict[str, _MessageAttribute]


class _Received(TypedDict, total=False):
    Messages: list[_Message]


class _Done(TypedDict, total=False):
    Id: str
    MessageId: str
    MD5OfMessageBody: str
    MD5OfMessageAttributes: str
    MD5OfMessageSystemAttributes: str
    SequenceNumber: str


class _Failed(TypedDict, total=False):
    Id: str
    SenderFault: bool
    Code: str
    Message: str


class _Batch(TypedDict, total=False):
    Successful: list[_Done]
    Failed: list[_Failed]


class _StatementError(TypedDict, total=False):
    Code: str
    Message: str
    Item: _Item


class _StatementAnswer(TypedDict, total=False):
    Error: _StatementError
    TableName: str
    Item: _Item


class _Statements(TypedDict, total=False):
    Responses: list[_StatementAnswer]
    ConsumedCapacity: list[dict[str, Any]]


class _Written(TypedDict, total=False):
    Attributes: _Item
    ConsumedCapacity: dict[str, Any]


class _Put(TypedDict, total=False):
    SequenceNumber: str
    ShardId: str
    ErrorCode: str
    ErrorMessage: str


class _Puts(TypedDict, total=False):
    FailedRecordCount: int
    Records: list[_Put]
    EncryptionType: str


DECODERS: dict[str, Decoder[Any]] = {
    "ReceiveMessage": Decoder(_Received),
    "DeleteMessageBatch": Decoder(_Batch),
    "ChangeMessageVisibilityBatch": Decoder(_Batch),
    "SendMessageBatch": Decoder(_Batch),
    "BatchExecuteStatement": Decoder(_Statements),
    "UpdateItem": Decoder(_Written),
    "PutItem": Decoder(_Written),
    "DeleteItem": Decoder(_Written),
    "PutRecords": Decoder(_Puts),
}
"""By operation."""
