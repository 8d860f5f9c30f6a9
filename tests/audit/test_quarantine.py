"""A refused entry becomes a dead letter that SQS takes and that shows no signed URL."""

import json
from typing import Any

import msgspec
import pytest

from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import Refusal
from tests.audit.entries import LetterBox, expired
from tests.handlers.test_expiry import SIGNED


def test_the_letter_has_the_entry_in_ascii_and_a_reason_without_its_signed_url() -> None:
    box: Any = LetterBox()
    (entry,) = expired("a", fileName={"S": "Ünïcode \U0001f600\ufffe"})
    Quarantine(box).send(Refusal(entry, f"cannot take {SIGNED}"))
    (letter,) = box.letters
    assert letter.outcome == "audit_quarantined"
    assert letter.reason.startswith("cannot take https")
    assert "Signature" not in letter.reason
    assert letter.body.isascii()
    body = json.loads(letter.body)
    assert (body["auditId"], body["fileName"]) == ("id-0", "Ünïcode \U0001f600\ufffe")


@pytest.mark.parametrize("audit_id", ["has space", "x" * 200, "ü"])
def test_an_id_that_no_queue_takes_is_replaced_by_its_hash(audit_id: str) -> None:
    box: Any = LetterBox()
    (entry,) = expired("group id ü")
    Quarantine(box).send(Refusal(msgspec.structs.replace(entry, audit_id=audit_id), "no"))
    (letter,) = box.letters
    assert len(letter.source_message_id) == len(letter.group_id or "") == 64
