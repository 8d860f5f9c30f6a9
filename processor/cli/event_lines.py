"""A line of `publish`: an event, or an event with its message attributes, as `dlq save` writes it."""

import codecs
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from handlers.envelopes import InvalidEvent
from processor.aws.message_attributes import attributes_from_json, attributes_to_json
from processor.aws.sqs import NOT_IN_SQS, SQS_MAX_BATCH_BYTES, payload_bytes
from processor.cli.sending import Outgoing

_ENVELOPES = ("requestId", "Type", "detail-type", "specversion")  # a body holds one of these
_MEMBERS = ("event", "body", "attributes", "groupId", "traceHeader", "letter")
_GROUP_ID = re.compile(r"[\x21-\x7e]{1,128}")


def read_event_line(raw: bytes) -> Outgoing:
    """Reads a line of JSON: a bare event in any envelope, or an object with these members.

    - `event` (the event as an object) or `body` (the message's body as text),
    - `attributes`, `groupId`, `traceHeader` (optional),
    - `letter`: what `dlq save` notes of a dead letter; ignored.

    Raises:
        InvalidEvent: if SQS would not accept the message. The event itself is not checked here.
    """
    try:
        message = _with_attributes(raw.removeprefix(codecs.BOM_UTF8).decode().strip())
    except UnicodeDecodeError:
        raise InvalidEvent("must be UTF-8") from None
    except ValueError as wrong:
        raise InvalidEvent(str(wrong)) from None
    if NOT_IN_SQS.search(message.body):
        raise InvalidEvent("must not hold control characters, U+FFFE or U+FFFF, which SQS refuses")
    if payload_bytes(message.entry()) > SQS_MAX_BATCH_BYTES:
        raise InvalidEvent("must fit into a message of 256 KiB")
    return message


def write_event_line(message: Outgoing, letter: Mapping[str, Any]) -> str:
    """The line of JSON that `read_event_line` reads, in ASCII, with notes about a dead letter."""
    optional = {
        "attributes": attributes_to_json(message.attributes),
        "groupId": message.group_id,
        "traceHeader": message.trace_header,
    }
    fields = {name: value for name, value in optional.items() if value}
    return json.dumps({"body": message.body, **fields, "letter": dict(letter)}, separators=(",", ":"))


def _with_attributes(text: str) -> Outgoing:
    fields = _object(text)
    if not fields or any(name in fields for name in _ENVELOPES) or not fields.keys() & {"event", "body"}:
        return Outgoing(text)  # decoding finds what is wrong with it
    json.loads(text, parse_constant=_no_constant)  # strictly, now that the whole line is read
    body, event = fields.get("body"), fields.get("event")
    group_id, header = fields.get("groupId"), fields.get("traceHeader")
    if fields.keys() - set(_MEMBERS):
        raise ValueError(f"a line with attributes must hold only {', '.join(sorted(_MEMBERS))}")
    if ("event" in fields) is ("body" in fields):
        raise ValueError("a line with attributes must hold either event or body")
    if "event" in fields and not isinstance(event, dict):
        raise ValueError("event must be an object")
    if "body" in fields and not isinstance(body, str):
        raise ValueError("body must be text")
    if group_id is not None and not (isinstance(group_id, str) and _GROUP_ID.fullmatch(group_id)):
        raise ValueError("groupId must have 1 to 128 printable ASCII characters")
    if header is not None and not (isinstance(header, str) and header and header.isascii()):
        raise ValueError("traceHeader must be ASCII text")
    attributes = attributes_from_json(fields.get("attributes", {}))
    if body is None:
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return Outgoing(body, attributes, group_id, header)


def _object(text: str) -> dict[str, Any]:
    """The JSON object; empty where the text is something else.

    NaN and Infinity pass: a bare event may have them in fields that are not read.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
