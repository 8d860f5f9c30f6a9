"""What goes wrong with which call: a pure function of a seed, the operation and how often it was called.

Two runs of one seed give the same fault to the n-th call of an operation; which thread makes that call is up
to the scheduler. Episodes lie above it: stretches of time in which a whole service is out of order.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """What happens to one call."""

    NONE = "none"
    THROTTLE = "throttle"
    """Refused with the service's own error code for too many calls."""
    ERROR = "error"
    """Refused with a 5xx, now and then with a body that is no JSON."""
    RESET = "reset"
    """The connection is reset before anything is forwarded."""
    STALL = "stall"
    """Nothing is forwarded, and nothing is answered until the client's timeout."""
    LATE_REQUEST = "late_request"
    """Forwarded only after the client's timeout: the write takes effect behind its back."""
    LATE_ANSWER = "late_answer"
    """Forwarded at once, answered only after the client's timeout."""
    LOST_ANSWER = "lost_answer"
    """Forwarded and answered by the emulator; the answer is thrown away with the connection."""
    PARTIAL = "partial"
    """A batch of which some entries fail; a call that is no batch passes."""


USUAL_RATES: Mapping[Fault, float] = {
    Fault.THROTTLE: 0.012,
    Fault.ERROR: 0.012,
    Fault.RESET: 0.008,
    Fault.STALL: 0.001,
    Fault.LATE_REQUEST: 0.0015,
    Fault.LATE_ANSWER: 0.0015,
    Fault.LOST_ANSWER: 0.010,
    Fault.PARTIAL: 0.03,
}
"""Chances of each fault, far above what AWS shows on a bad day."""


@dataclass(frozen=True, slots=True)
class Episode:
    """From `begin` to `end` (seconds after the plan's start) calls of some operations fail so."""

    operations: str
    """The beginning of their names: `Status.`, `Leases.UpdateItem`, or nothing for all. Reads of the shards
    that the stream began with are `Streams.GetRecords.first`."""
    fault: Fault
    begin: float
    end: float
    chance: float = 1.0
    """Of each call to fail."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Everything that is to go wrong in one run."""

    seed: int = 0
    rates: Mapping[Fault, float] = field(default_factory=dict)
    episodes: tuple[Episode, ...] = ()

    def fault(self, operation: str, number: int, elapsed: float) -> tuple[Fault, random.Random]:
        """What happens to one call, and the dice for its details.

        Args:
            operation: `SQS.ReceiveMessage`, `Status.UpdateItem`, `Leases.UpdateItem`, ...
            number: counts this operation's calls, from 0.
            elapsed: seconds since the plan's start.
        """
        dice = random.Random(f"{self.seed}/{operation}/{number}")
        roll = dice.random()
        for episode in self.episodes:
            is_hit = episode.begin <= elapsed < episode.end and operation.startswith(episode.operations)
            if is_hit and dice.random() < episode.chance:
                return episode.fault, dice
        for fault, rate in self.rates.items():
            roll -= rate
            if roll < 0:
                return fault, dice
        return Fault.NONE, dice
