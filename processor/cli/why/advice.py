"""One sentence about what to do for an export."""

from handlers.export import Export, MalformedItem, Status
from handlers.transitions import Outcome
from processor.cli.dlq import dead_letter
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.why.lookup import Known


def advise(known: Known) -> str:
    """What to do, by the first that applies: a malformed item, a living record, audit entries, letters.

    Args:
        known: what the sources answered.
    """
    if isinstance(broken := known.unread.get("record"), MalformedItem):
        return (
            f"The stored item breaks the contract ({broken}): find what wrote it, then correct or delete it."
            " Until then its events may be rejected."
        )
    if known.record is not None and not known.dead:
        return _of_living(known.record, known.letters[-1] if known.letters else None)
    if known.record is not None or known.entries:
        return _of_expired(known)
    if known.letters:
        return _of_letter(known.letters[-1])
    if "record" in known.unread:
        return "The table could not be read: correct that first."
    unread = ", ".join(known.unread)
    return (
        "Nothing is known of it: it was never requested, its events came after its end, or they wait in the"
        f" event queue{f' (not read: {unread})' if unread else ''}."
    )


def _of_living(record: Export, letter: DeadLetter | None) -> str:
    if record.status is Status.COMPLETED and record.signed_url is None:
        return "It is completed without a signed URL: the producer can send the same event again with one."
    if record.status is Status.COMPLETED:
        return "It is completed: there is nothing to do."
    if record.status is Status.FAILED:
        return "It failed: the user has to request a new export, with a new requestId."
    if letter is not None:
        return _of_letter(letter)
    return (
        f"It is {record.status.value} and no later event has arrived: look at the exporting service, and at"
        " the age of the oldest message in the event queue."
    )


def _of_expired(known: Known) -> str:
    status = known.record.status.value if known.record else known.entries[-1].get("lastStatus")
    finished = status in {Status.COMPLETED.value, Status.FAILED.value}
    deleted = known.record is None and known.entries[-1].get("action") == "export.deleted"
    gone = "was deleted" if deleted else "expired"
    rejected = known.letters and not finished
    why = f" and an event of it was rejected ({known.letters[-1].reason})" if rejected else ""
    return f"It {gone} as {status}{why}: the user has to request a new export, with a new requestId."


def _of_letter(letter: DeadLetter) -> str:
    match letter.outcome:
        case Outcome.INVALID.value:
            return "An event was rejected as invalid: the producer has to send a correct event."
        case Outcome.CONFLICT.value:
            return (
                "A second terminal event was rejected, and the first one stands: remove the letter with"
                f" `export-status dlq drop --id {letter.message.message_id} --save FILE`."
            )
        case Outcome.EARLY.value | Outcome.RETRY.value | dead_letter.UNMARKED:
            return (
                f"An event was given back as {letter.outcome}: run `export-status dlq redrive --outcome"
                f" {letter.outcome}` after the cause is removed."
            )
        case _:
            return "An event of it is in the dead-letter queue: `export-status dlq list` shows it."
