"""A refused entry becomes a dead letter that SQS takes and that shows no signed URL."""

from typing import Any

import pytest

from processor.audit.quarantine import Quarantine
from processor.audit.sinks.base import Refusal
from tests.audit.entries import LetterBox, expired
from tests.handlers.test_expiry import SIGNED


def test_a_reason_with_a_signed_url_loses_it() -> None:
    box: Any = LetterBox()
    (entry,) = expired("a")
    Quarantine(box).send(Refusal(entry, f"cannot take {SIGNED}"))
    assert "Signature" not in box.letters[0].reason


@pytest.mark.parametrize("audit_id", ["has space", "x" * 200, "ü"])
def test_an_id_that_no_queue_takes_is_replaced_by_its_hash(audit_id: str) -> None:
    box: Any = LetterBox()
    (entry,) = expired("group id ü")
    Quarantine(box).send(Refusal(entry.model_copy(update={"audit_id": audit_id}), "no"))
    (letter,) = box.letters
    assert len(letter.source_message_id) == len(letter.group_id or "") == 64
