"""The protocol between the audit pipeline and a sink, a place that audit entries go to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from handlers.audit import AuditEntry
from processor.streams.record_processor import Unavailable


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that a sink can never take because of its size or its encoding.

    Throttling, missing access and an outage are never a refusal: they raise `SinkUnavailable`.
    """

    entry: AuditEntry
    reason: str
    """One clear sentence: the field and the rule, never the value."""


class SinkUnavailable(Unavailable):
    """The sink takes no more entries now. The caller calls `Put.go_on` again after a delay.

    Args:
        problem: one sentence for operators.
        retry_seconds: when to call again; None: after the caller's back-off; infinite: not in this process.
        is_outage: whether operators should see it. A single throttled call is no outage.
    """

    def __init__(
        self, problem: str = "", *, retry_seconds: float | None = None, is_outage: bool = True
    ) -> None:
        super().__init__(problem, retry_seconds)
        self.is_outage = is_outage


class Put(Protocol):
    """Some entries on their way into a sink. One thread at a time uses it."""

    @property
    def refusals(self) -> Sequence[Refusal]:
        """The entries that the sink can never take, known from the beginning."""

    @property
    def durable(self) -> int:
        """How many of the first entries need no further call: the sink has them or refuses them."""

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Continues where the last call stopped; returns when each entry is durable or refused.

        An entry whose put was answered with success is not put again. An entry whose answer was lost may be
        put again; consumers drop such repeats by `audit_id`.

        Args:
            may_continue: the sink calls it before each call to the outside. False: the shard's lease is no
                longer trusted, or the deadline of a stop has come (docs/invariants.md, law 7).

        Raises:
            SinkUnavailable: some entries are not durable yet.
            Interrupted: `may_continue` returned False.
        """


class Sink(Protocol):
    """A place that audit entries go to. The readers of all shards share it, each in its own thread."""

    @property
    def name(self) -> str:
        """The sink's name in `EXPORT_AUDIT_SINKS`."""

    def begin(self, entries: Sequence[AuditEntry]) -> Put:
        """Prepares to put entries; makes no call to the outside.

        Args:
            entries: of one shard, oldest first.
        """
