"""The colours of statuses and outcomes, the same in every command."""

from collections.abc import Mapping

from handlers.export import Status
from handlers.transitions import Outcome

STATUS_STYLES: Mapping[str, str] = {
    Status.PENDING.value: "yellow",
    Status.PROCESSING.value: "cyan",
    Status.COMPLETED.value: "green",
    Status.FAILED.value: "red",
}
"""By the stored status."""

OUTCOME_STYLES: Mapping[str, str] = {
    Outcome.APPLIED.value: "green",
    Outcome.DUPLICATE.value: "dim",
    Outcome.STALE.value: "dim",
    Outcome.EARLY.value: "yellow",
    Outcome.RETRY.value: "yellow",
    Outcome.EXPIRED.value: "magenta",
    Outcome.CONFLICT.value: "red",
    Outcome.INVALID.value: "red",
}
"""Every outcome, in the order in which the demo names them."""
