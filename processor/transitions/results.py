"""The result of each event, with its reason in one sentence where an operator needs one."""

from dataclasses import dataclass

from handlers.events import ExportEvent
from handlers.transitions import Outcome
from processor.aws.errors import AwsError, Rejected
from processor.transitions.messages import Message
from processor.transitions.status_table import NotTried


@dataclass(frozen=True, slots=True)
class EventResult:
    """The outcome of a message's event, and what the log shows about it."""

    message: Message
    outcome: Outcome
    event: ExportEvent | None = None  # None where the body holds no valid event
    reason: str = ""  # one sentence, the field and the rule, never the value
    late_seconds: float | None = None  # only with EXPIRED
    item_present: bool | None = None  # only with EXPIRED; None where the table was not asked
    untried: bool = False  # only with RETRY: no write was begun, so the message needs no back-off


def failed(message: Message, event: ExportEvent | None, error: AwsError) -> EventResult:
    """DynamoDB refuses this item alone; or it is not known whether a write took effect; or none was begun."""
    if isinstance(error, Rejected):
        reason = f"the item must be one that DynamoDB takes ({error})"
        return EventResult(message, Outcome.INVALID, event, reason)
    if isinstance(error, NotTried):
        return out_of_time(message, event)
    return EventResult(message, Outcome.RETRY, event, f"the table did not answer the write ({error})")


def out_of_time(message: Message, event: ExportEvent | None) -> EventResult:
    """No write was begun; the message goes back to the queue at once."""
    reason = "there was no time left to try the write"
    return EventResult(message, Outcome.RETRY, event, reason, untried=True)


def paused(message: Message, event: ExportEvent | None) -> EventResult:
    """The table is known to be down. The message is backed off: released at once, the polls that are still
    open would receive it again and use up its receive count."""
    return EventResult(message, Outcome.RETRY, event, "the table takes no writes, so none was tried")
