"""The lines of `publish`: bare events, and events with message attributes."""

import json
from typing import Any

import pytest

from handlers.envelopes import InvalidEvent
from processor.cli.event_lines import read_event_line, write_event_line
from processor.cli.sending import Outgoing

EVENT = {"requestId": "req-1", "status": "pending", "occurredAt": "2026-11-22T10:00:00Z"}


def read(fields: Any) -> Outgoing:
    return read_event_line(json.dumps(fields).encode())


def test_a_bare_event_and_an_envelope_stay_as_they_are_written() -> None:
    for text in ('{ "requestId":"é","event":[1.50,NaN]}', '{"Type":"Notification","Message":"m","body":"b"}'):
        assert read_event_line(f" {text}\n".encode()) == Outgoing(text)


def test_an_event_with_attributes_is_its_body_with_attributes() -> None:
    line = read({"event": EVENT, "attributes": {"traceparent": "00-a-b-01"}, "groupId": "tenant-1"})
    assert json.loads(line.body) == EVENT
    assert line.attributes == {"traceparent": {"DataType": "String", "StringValue": "00-a-b-01"}}
    assert (line.group_id, line.trace_header) == ("tenant-1", None)


@pytest.mark.parametrize("body", ["no JSON", '{"a":1,"a":2}', "\N{SNOWMAN}\t\n"])
def test_what_is_written_is_read_as_it_was(body: str) -> None:
    attributes = {"blob": {"DataType": "Binary", "BinaryValue": b"\xff\x00"}}
    line = Outgoing(body, attributes, "g", "Root=1-5759e988-bd862e3fe1be46a994272793")
    written = write_event_line(line, {"outcome": "invalid"})
    assert written.isascii()
    assert json.loads(written)["letter"] == {"outcome": "invalid"}
    assert read_event_line(written.encode()) == line


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"event": EVENT, "body": "b"}, "must hold either event or body"),
        ({"event": "text"}, "event must be an object"),
        ({"body": {}}, "body must be text"),
        ({"event": EVENT, "atributes": {}}, "must hold only"),
        ({"event": EVENT, "attributes": []}, "attributes must be an object"),
        ({"event": EVENT, "attributes": {f"a{n}": "x" for n in range(11)}}, "at most 10"),
        ({"event": EVENT, "attributes": {"AWS.x": "x"}}, "name must have"),
        ({"event": EVENT, "attributes": {"a": ""}}, "not empty"),
        ({"event": EVENT, "attributes": {"a": {"DataType": "Number", "StringValue": "x"}}}, "a number"),
        ({"event": EVENT, "attributes": {"a": {"DataType": "Binary", "BinaryValue": "?"}}}, "in base64"),
        ({"event": EVENT, "attributes": {"a": {"DataType": "Set", "StringValue": "x"}}}, "with DataType"),
        ({"event": EVENT, "attributes": {"a": "\x01"}}, "which SQS refuses"),
        ({"event": EVENT, "attributes": {"a": "x" * 262_144}}, "256 KiB"),
        ({"event": EVENT, "groupId": "two words"}, "groupId must have"),
        ({"event": EVENT, "groupId": 7}, "groupId must have"),
        ({"event": EVENT, "traceHeader": ""}, "traceHeader must be"),
        ({"body": "\ud800"}, "which SQS refuses"),
        ({"event": EVENT | {"progress": float("nan")}}, "NaN and Infinity are not JSON"),
    ],
)
def test_a_line_that_sqs_would_refuse_names_the_rule(fields: Any, rule: str) -> None:
    with pytest.raises(InvalidEvent, match=rule):
        read(fields)
