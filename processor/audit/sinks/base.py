"""What the audit pipeline asks of a place that audit entries go to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from handlers.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Refusal:
    """This entry alone can never be taken, for its own sake: its size or its encoding.

    Throttling, missing access and an outage are never a refusal: they are `SinkUnavailable`.
    """

    entry: AuditEntry
    reason: str
    """One clear sentence, the field and the rule, never the value."""


class SinkUnavailable(Exception):
    """The sink cannot take entries now; the caller backs off and puts the same entries again."""


class SinkInterrupted(Exception):
    """`may_continue()` said no: nothing more was put."""


class Sink(Protocol):
    """A place that audit entries go to. Called by many threads at once, one for each shard."""

    @property
    def name(self) -> str:
        """As in `EXPORT_AUDIT_SINKS`."""

    def put(self, entries: Sequence[AuditEntry], may_continue: Callable[[], bool]) -> Sequence[Refusal]:
        """Hands over entries in their order; returns when each is durably taken or refused.

        Entries may have been put before: consumers drop repeats by their `audit_id`.

        Args:
            entries: of one shard, oldest first.
            may_continue: asked before each call to the outside; False once the shard's lease is not
                trusted any more or the service must be gone (law 7).

        Returns:
            The entries that can never be taken, each with its reason; all others are durable.

        Raises:
            SinkUnavailable: some of the entries may not have been taken.
            SinkInterrupted: `may_continue` said no.
        """
