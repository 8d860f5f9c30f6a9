"""A line of `publish`: an event, or an event with its message attributes, as `dlq save` writes it."""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from handlers.envelopes import InvalidEvent
from processor.aws.message_attributes import Attributes, attributes_from_json, attributes_to_json
from processor.aws.sqs import NOT_IN_SQS, SQS_MAX_BATCH_BYTES, payload_bytes

_ENVELOPES = ("requestId", "Type", "detail-type", "specversion")  # a body holds one of these
_MEMBERS = frozenset({"event", "body", "attributes", "groupId", "traceHeader", "letter"})
_GROUP_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class EventLine:
    """A message to publish.

    Attributes:
        body: the message's body.
        attributes: its message attributes.
        group_id: its MessageGroupId, None for the queue's default.
        trace_header: its AWSTraceHeader, if any.
    """

    body: str
    attributes: Attributes = field(default_factory=dict)
    group_id: str | None = None
    trace_header: str | None = None


def read_event_line(raw: bytes) -> EventLine:
    """Reads a line of JSON: a bare event in any envelope, or an object with these members.

    - `event` (the event as an object) or `body` (the message's body as text),
    - `attributes`, `groupId`, `traceHeader` (optional),
    - `letter`: what `dlq save` notes of a dead letter; ignored.

    Raises:
        InvalidEvent: if SQS would not accept the message. The event itself is not checked here.
    """
    try:
        text = raw.removeprefix(codecs.BOM_UTF8).decode().strip()
    except UnicodeDecodeError:
        raise InvalidEvent("must be UTF-8") from None
    line = _with_attributes(text)
    if NOT_IN_SQS.search(line.body):
        raise InvalidEvent("must not hold control characters, U+FFFE or U+FFFF, which SQS refuses")
    if payload_bytes({"MessageBody": line.body, "MessageAttributes": line.attributes}) > SQS_MAX_BATCH_BYTES:
        raise InvalidEvent("must fit into a message of 256 KiB")
    return line


def write_event_line(line: EventLine, letter: Mapping[str, Any]) -> str:
    """The line of JSON that `read_event_line` reads, in ASCII, with notes about a dead letter."""
    fields: dict[str, Any] = {"body": line.body}
    if line.attributes:
        fields["attributes"] = attributes_to_json(line.attributes)
    if line.group_id is not None:
        fields["groupId"] = line.group_id
    if line.trace_header is not None:
        fields["traceHeader"] = line.trace_header
    return json.dumps(fields | {"letter": dict(letter)}, separators=(",", ":"))


def _with_attributes(text: str) -> EventLine:
    fields = _object(text)
    if not fields or any(name in fields for name in _ENVELOPES) or not fields.keys() & {"event", "body"}:
        return EventLine(text)  # decoding finds what is wrong with it
    unknown = sorted(fields.keys() - _MEMBERS)
    if unknown:
        raise InvalidEvent(f"a line with attributes must hold only {', '.join(sorted(_MEMBERS))}")
    try:
        attributes = attributes_from_json(fields.get("attributes", {}))
    except ValueError as wrong:
        raise InvalidEvent(str(wrong)) from None
    return EventLine(_body(fields), attributes, _group_id(fields), _trace_header(fields))


def _object(text: str) -> dict[str, Any]:
    """The JSON object; empty where the text is something else."""
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _body(fields: Mapping[str, Any]) -> str:
    if ("event" in fields) is ("body" in fields):
        raise InvalidEvent("a line with attributes must hold either event or body")
    if isinstance(body := fields.get("body"), str):
        return body
    if isinstance(event := fields.get("event"), dict):
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    raise InvalidEvent("event must be an object" if "event" in fields else "body must be text")


def _group_id(fields: Mapping[str, Any]) -> str | None:
    group_id = fields.get("groupId")
    if group_id is not None and not (isinstance(group_id, str) and _GROUP_ID.fullmatch(group_id)):
        raise InvalidEvent("groupId must have 1 to 128 printable ASCII characters")
    return group_id


def _trace_header(fields: Mapping[str, Any]) -> str | None:
    header = fields.get("traceHeader")
    if header is not None and not (isinstance(header, str) and header and header.isascii()):
        raise InvalidEvent("traceHeader must be ASCII text")
    return header
