"""The quarantine: a dead-letter message for each entry that a sink can never take (contract section 4)."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from handlers.audit import AuditEntry
from handlers.masking import mask_urls
from handlers.timestamps import format_timestamp
from processor.audit.sink import Refusal
from processor.aws import call

OUTCOME = "audit_quarantined"
MAX_REASON_CHARS = 256

_SQS_TOKEN = re.compile(r"[!-~]{1,128}")  # SQS: MessageDeduplicationId, MessageGroupId
_UNPRINTABLE = re.compile(r"[^ -~]+")


class QueueClient(Protocol):
    """As much of the SQS client as the quarantine calls."""

    @property
    def send_message(self) -> Callable[..., Any]:
        """SendMessage."""


class Quarantine:
    """Sends refused entries to the dead-letter queue, with the attributes that dead-lettered events have."""

    def __init__(self, client: QueueClient, queue_url: str, now: Callable[[], datetime]) -> None:
        self._client = client
        self._queue_url = queue_url
        self._now = now

    def take(self, refusal: Refusal) -> None:
        """Returns once the queue has the entry.

        Raises:
            AwsError: it may not have it.
        """
        entry = refusal.entry
        source_id = _token(entry.audit_id)
        attributes = {
            "rejectionOutcome": OUTCOME,
            "rejectionReason": _printable(refusal.reason),
            "sourceMessageId": source_id,
            "rejectedAt": format_timestamp(self._now()),
        }
        fifo = (
            {"MessageGroupId": _token(entry.request_id), "MessageDeduplicationId": source_id}
            if self._queue_url.endswith(".fifo")
            else {}
        )
        call(
            self._client.send_message,
            QueueUrl=self._queue_url,
            MessageBody=_body(entry),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
            **fifo,
        )


def _body(entry: AuditEntry) -> str:
    """The entry's JSON in ASCII: SQS refuses some characters that a file name may hold."""
    return json.dumps(entry.model_dump(by_alias=True), separators=(",", ":"))


def _token(text: str) -> str:
    return text if _SQS_TOKEN.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()


def _printable(reason: str) -> str:
    return _UNPRINTABLE.sub(" ", mask_urls(reason))[:MAX_REASON_CHARS].strip() or "no reason given"
