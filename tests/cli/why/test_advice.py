"""One sentence about an export, for each state of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from handlers.export import Export, MalformedItem, Status
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.errors import CommandFailed
from processor.cli.why.advice import advise
from processor.cli.why.lookup import Known

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
URL = "https://bucket.s3.amazonaws.com/report.csv"


def record(status: Status, **more: Any) -> Export:
    return Export("req-1", status, NOW, NOW, int(NOW.timestamp()) + 900, **more)


def letter(outcome: str | None) -> DeadLetter:
    text = {"DataType": "String", "StringValue": outcome}
    attributes = {} if outcome is None else {"rejectionOutcome": text}
    raw = {"MessageId": "m-1", "ReceiptHandle": "h", "Body": "{}", "MessageAttributes": attributes}
    return DeadLetter.from_sqs(raw)


@pytest.mark.parametrize(
    ("known", "advice"),
    [
        (Known("req-1", record(Status.COMPLETED, signed_url=URL)), "nothing to do"),
        (Known("req-1", record(Status.COMPLETED)), "send the same event again"),
        (Known("req-1", record(Status.FAILED)), "request a new export"),
        (Known("req-1", record(Status.PENDING)), "no later event has arrived"),
        (Known("req-1", record(Status.PENDING), letters=[letter("invalid")]), "send a correct event"),
        (Known("req-1", record(Status.FAILED), letters=[letter("conflict")]), "request a new export"),
        (Known("req-1", letters=[letter("conflict")]), "dlq drop --id m-1 --save FILE"),
        (Known("req-1", letters=[letter("early")]), "dlq redrive --outcome early"),
        (Known("req-1", letters=[letter(None)]), "dlq redrive --outcome unmarked"),
        (Known("req-1", letters=[letter("x; rm -rf /")]), "`export-status dlq list` shows it"),
        (Known("req-1", record(Status.PROCESSING), dead=True), "expired as processing: the user"),
        (
            Known("req-1", record(Status.PENDING), dead=True, letters=[letter("early")]),
            "expired as pending and an event of it was rejected",
        ),
        (Known("req-1", entries=[{"lastStatus": "failed"}]), "expired as failed:"),
        (Known("req-1"), "Nothing is known of it: it was never requested"),
        (Known("req-1", entries=[{"lastStatus": "failed", "action": "export.deleted"}]), "deleted as failed"),
        (Known("req-1", unread={"logLines": CommandFailed("no")}), "(not read: logLines)"),
        (Known("req-1", letters=[letter("conflict")], unread={"record": MalformedItem("ttl")}), "contract"),
        (Known("req-1", unread={"record": CommandFailed("no")}), "The table could not be read"),
    ],
)
def test_each_state_has_its_advice(known: Known, advice: str) -> None:
    assert advice in advise(known)
    assert "rm -rf" not in advise(known)
