"""What each part of the pipeline is given: clocks, chance, pauses, the stop, and where it reports."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.metrics import Metrics
from processor.settings import Settings


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Every source of time and chance. A simulated world replaces all of them.

    Args:
        now: the wall clock, aware; decides what has expired.
        monotonic: seconds for deadlines and pauses; never jumps.
        random: for jitter.
    """

    now: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=Random)

    def jitter(self, seconds: float) -> float:
        """A pause of at most these seconds and at least half of them, so that tasks spread out."""
        return seconds * self.random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the pipeline waits after failures, in seconds. Tests shorten these."""

    receive_back_off_seconds: float = 0.5  # after the first failed receive, then doubled
    receive_back_off_most_seconds: float = 30.0
    breaker_pause_seconds: float = 1.0  # before the first probe of a table that is down, then doubled
    breaker_pause_most_seconds: float = 30.0
    breaker_look_seconds: float = 0.5  # how often a receiver asks whether polling goes on
    table_retry_seconds: float = 0.1  # before the second try of a DynamoDB call, then four times as long
    queue_retry_seconds: float = 0.2  # before the second try of an SQS call, then four times as long


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """What the parts of one pipeline share.

    Attributes:
        settings: the service's.
        metrics, health: where the parts report.
        clocks: every source of time and chance.
        timing: how long the parts wait after failures.
        stop: once set, nothing is received any more; what was received is handled.
        abandon: once set, nothing begins any more, and no pause lasts on; what was received is released. The
            parts' waits inside a step are `abandon.wait(seconds)`.
    """

    settings: Settings
    metrics: Metrics
    health: Health
    clocks: Clocks = field(default_factory=Clocks)
    timing: Timing = field(default_factory=Timing)
    stop: threading.Event = field(default_factory=threading.Event)
    abandon: threading.Event = field(default_factory=threading.Event)

    def queue_back_off(self) -> BackOff:
        """The back-off between the tries of one SQS call."""
        return BackOff(self.timing.queue_retry_seconds, factor=4, jitter=self.clocks.jitter)

    def has_time(self, deadline: float) -> bool:
        """Whether another call may begin: the deadline has not come, and the drain leaves time for it.

        Args:
            deadline: on `clocks.monotonic`.
        """
        return self.clocks.monotonic() < deadline and not self.abandon.is_set()
