"""The quarantine: a dead-letter message for each entry that a sink can never take.

See docs/contract.md, section 4.
"""

import hashlib
import json
import re

import msgspec

from handlers.masking import mask_urls
from processor.audit.sinks.base import Refusal, SinkUnavailable
from processor.dead_letters import DeadLetter, DeadLetterQueue

OUTCOME = "audit_quarantined"

_SQS_TOKEN = re.compile(r"[!-~]{1,128}")  # SQS API Reference: MessageDeduplicationId, MessageGroupId


class Quarantine:
    """Sends refused entries to the dead-letter queue, with the attributes that dead-lettered events have.

    Args:
        queue: the dead-letter queue.
    """

    def __init__(self, queue: DeadLetterQueue) -> None:
        self._queue = queue

    def send(self, refusal: Refusal) -> None:
        """Returns once the queue has the entry.

        Raises:
            SinkUnavailable: the queue may not have it.
        """
        entry = refusal.entry
        letter = DeadLetter(
            # ASCII: SQS refuses some characters that a file name may hold.
            body=json.dumps(msgspec.to_builtins(entry), separators=(",", ":")),
            outcome=OUTCOME,
            reason=mask_urls(refusal.reason),
            source_message_id=_token(entry.audit_id),
            receive_count=1,
            group_id=_token(entry.request_id),
        )
        if not self._queue.send([letter]).done:
            raise SinkUnavailable("the dead-letter queue does not take a refused entry")


def _token(text: str) -> str:
    return text if _SQS_TOKEN.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()
