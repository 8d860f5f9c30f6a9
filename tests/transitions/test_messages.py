"""A message carries what its producer set, through a rejection and both ways back."""

import time
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.aws.message_attributes import Attributes
from processor.dead_letters import DeadLetterQueue
from processor.transitions.messages import Message
from processor.transitions.outcome_log import OutcomeLog
from processor.transitions.results import EventResult
from processor.transitions.settlement import Settlement
from tests.handlers.making import at
from tests.processor.limited_sqs import LimitedSqs
from tests.transitions.rig import NoWaiting, context, message

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROOT = "1-5759e988-bd862e3fe1be46a994272793"
PARENT = {"DataType": "String", "StringValue": f"00-{TRACE}-00f067aa0ba902b7-01"}
EIGHT: Attributes = {
    "traceparent": PARENT,
    "tracestate": {"DataType": "String", "StringValue": "congo=t61rcWkgMzE"},
    "contentType": {"DataType": "String", "StringValue": "application/json"},
    "attempt": {"DataType": "Number", "StringValue": "-1.5e3"},
    "signature": {"DataType": "Binary.ed25519", "BinaryValue": bytes(range(256))},
    "tenant.id": {"DataType": "String", "StringValue": 'caf\u00e9 \\ "quoted"\t'},
    "receiveCount": {"DataType": "Number", "StringValue": "7"},
    "producer-2": {"DataType": "String", "StringValue": "\U0001f600"},
}


def raw(**changes: Any) -> dict[str, Any]:
    return {
        "MessageId": "m-1",
        "ReceiptHandle": "h",
        "Body": "{}",
        "MessageAttributes": EIGHT,
        "Attributes": {
            "ApproximateReceiveCount": "1",
            "MessageGroupId": "tenant-7",
            "AWSTraceHeader": f"Root={ROOT};Sampled=1",
            "SenderId": "AIDAEXAMPLE",
        },
    } | changes


def letter_of(received: Message) -> dict[str, Any]:
    """The dead letter of a message, as it is received from the dead-letter queue."""
    sqs: Any = LimitedSqs()
    queue: Any = None
    letters = DeadLetterQueue(sqs, "http://127.0.0.1/1/dlq", lambda: at(60), NoWaiting())
    settlement = Settlement(queue, letters, OutcomeLog(time.monotonic), queue, context())
    settlement.plan([EventResult(received, Outcome.INVALID, reason="requestId is required")], 1e12)
    [letter] = sqs.received()
    return dict(letter)


def same_for_the_producer(found: Message) -> bool:
    first = Message.from_sqs(raw())
    names = ("body", "attributes", "trace_header", "group_id")
    return all(getattr(found, name) == getattr(first, name) for name in names)


def test_what_sqs_s_own_redrive_brings_back_is_what_the_producer_sent() -> None:
    letter = letter_of(Message.from_sqs(raw()))
    assert letter["MessageAttributes"].keys() == {
        *("rejectionOutcome", "rejectionReason", "sourceMessageId"),
        *("receiveCount", "rejectedAt", "sourceAttributes"),
    }
    assert same_for_the_producer(Message.from_sqs(letter))
    twice = letter_of(Message.from_sqs(letter))
    assert same_for_the_producer(Message.from_sqs(twice)), "a second rejection does not nest the first"


@pytest.mark.parametrize(
    ("changes", "trace"),
    [
        ({"attributes": {"traceparent": PARENT}, "trace_header": f"Root={ROOT}"}, TRACE),
        ({"trace_header": f"Root={ROOT}"}, ROOT),
        ({"attributes": {"traceparent": {"DataType": "Binary", "BinaryValue": b"x"}}}, None),
        ({}, None),
    ],
    ids=["traceparent", "X-Ray", "not a string", "none"],
)
def test_lines_about_a_message_carry_its_trace(changes: dict[str, Any], trace: str | None) -> None:
    fields = message("{}", message_id="m-7", **changes).log_fields()
    assert fields == {"message_id": "m-7"} | ({"trace_id": trace} if trace else {})
