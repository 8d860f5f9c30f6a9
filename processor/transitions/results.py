"""Results on events that the table did not take, each with its reason in one sentence."""

from handlers.events import ExportEvent
from handlers.export import Export, Item, MalformedItem
from handlers.transitions import Outcome
from processor.aws.errors import AwsError, Rejected
from processor.transitions.messages import EventResult, Message
from processor.transitions.status_table import NotTried


def rejected(message: Message, event: ExportEvent, error: AwsError) -> EventResult:
    """DynamoDB refuses this item alone."""
    return EventResult(message, Outcome.INVALID, event, f"the item must be one that DynamoDB takes ({error})")


def retry(message: Message, event: ExportEvent, error: AwsError) -> EventResult:
    """Whether a write took effect is not known, or it was not begun."""
    if isinstance(error, NotTried):
        return out_of_time(message, event)
    return EventResult(message, Outcome.RETRY, event, f"the table did not answer the write ({error})")


def out_of_time(message: Message, event: ExportEvent | None) -> EventResult:
    """No write was begun; the message goes back to the queue at once."""
    return EventResult(message, Outcome.RETRY, event, "there was no time left to try the write", untried=True)


def paused(message: Message, event: ExportEvent | None) -> EventResult:
    """The table is known to be down. The message is backed off: given back at once, it would go round
    among the polls that are still open and spend its receives."""
    return EventResult(message, Outcome.RETRY, event, "the table takes no writes, so none was tried")


def fill_in_failed(result: EventResult, error: AwsError) -> EventResult:
    """A duplicate or stale event could not fill in what the item lacks."""
    if result.event is None or isinstance(error, Rejected):
        reason = f"the item must be one that DynamoDB takes ({error})"
        return EventResult(result.message, Outcome.INVALID, result.event, reason)
    return retry(result.message, result.event, error)


def conflict_reason(item: Item | None) -> str:
    """Why an event contradicts what is stored."""
    try:
        Export.from_item(item or {})
    except MalformedItem as broken:
        return f"the stored item is not one of ours: {broken}"
    return "status contradicts the terminal status that was recorded first"
