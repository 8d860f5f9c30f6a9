"""Reads the JSON of GetRecords' answer: removals whole, of all other records only where they lie.

Three of an export's four records are changes that say nothing about its end. Their images, most of the
answer's bytes, are skipped while reading instead of being made into objects.
"""

import json
from typing import Any

import msgspec
from msgspec import UNSET, Struct, field


class _Place(Struct, gc=False):
    number: str = field(name="SequenceNumber")
    written_at: Any = field(name="ApproximateCreationDateTime", default=UNSET)


class _Insert(Struct, gc=False, tag_field="eventName", tag="INSERT"):
    dynamodb: _Place


class _Modify(Struct, gc=False, tag_field="eventName", tag="MODIFY"):
    dynamodb: _Place


class _Remove(Struct, tag_field="eventName", tag="REMOVE"):
    dynamodb: dict[str, Any]
    event_id: Any = field(name="eventID", default=UNSET)
    user_identity: Any = field(name="userIdentity", default=UNSET)


class _Answer(Struct):
    records: list[_Insert | _Modify | _Remove] = field(name="Records")
    next_iterator: Any = field(name="NextShardIterator", default=None)


_decoder = msgspec.json.Decoder(_Answer)


def read_answer(body: bytes) -> dict[str, Any]:
    """The answer of GetRecords as a dict, its numbers as numbers (`ApproximateCreationDateTime`: Unix
    seconds).

    A REMOVE has `eventName`, `eventID`, `userIdentity` and all of `dynamodb`; an INSERT or MODIFY has
    `eventName` and, in `dynamodb`, `SequenceNumber` and `ApproximateCreationDateTime`. What the JSON lacks
    the dict lacks too. An answer of any other form is returned unchanged.

    Raises:
        ValueError: if the body is not a JSON object.
    """
    try:
        answer = _decoder.decode(body)
    except msgspec.MsgspecError:
        # Not what DynamoDB sends, or half a surrogate pair, which only the standard library reads.
        return _any_object(body)
    read: dict[str, Any] = msgspec.to_builtins(answer)
    return read


def _any_object(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a JSON object")  # noqa: TRY004 - it is the content that is wrong
    return answer
