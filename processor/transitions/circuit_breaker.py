"""Pauses polling while the table is down, so that an outage uses up no receive counts
(docs/invariants.md, law 9)."""

import threading
from collections.abc import Callable

from processor.aws.errors import AwsError
from processor.observability.log import get_logger
from processor.observability.metrics import Metric
from processor.transitions.context import PipelineContext


class CircuitBreaker:
    """Tripped by an outage; the receivers that ask for their pause probe the table, one at a time.

    Args:
        probe: tries a write that changes nothing; raises AwsError while the table is down.
        context: the pipeline's; its metrics show whether polling is paused, its health shows why.
    """

    def __init__(self, probe: Callable[[], None], context: PipelineContext) -> None:
        self._probe = probe
        self._metrics = context.metrics
        self._health = context.health
        self._clocks = context.clocks
        self._timing = context.timing
        self._lock = threading.Lock()  # for the decision to trip
        self._probing = threading.Lock()
        self.is_tripped = False
        """Whether polling is paused."""
        self._pause = 0.0
        self._probe_at = 0.0

    def trip(self, error: AwsError) -> None:
        """Pauses polling because of this error. Many threads may call it for one outage."""
        with self._lock:
            if self.is_tripped:
                return
            self._pause = self._timing.breaker_pause_seconds
            self._probe_at = self._clocks.monotonic() + self._clocks.jitter(self._pause)
            self.is_tripped = True
        self._metrics.gauge(Metric.STORE_PAUSED, 1)
        self._health.report("status table", str(error))
        get_logger().error("store_paused", error=str(error), consequence="no messages are received")

    def pause(self) -> float:
        """How many seconds to wait before asking again; 0 while the table takes writes. Probes when due."""
        if not self.is_tripped:
            return 0.0
        look = self._timing.breaker_look_seconds
        if not self._probing.acquire(blocking=False):
            return look
        try:
            if self._clocks.monotonic() >= self._probe_at:
                self._try()
            left = self._probe_at - self._clocks.monotonic()
            return min(look, max(0.001, left)) if self.is_tripped else 0.0
        finally:
            self._probing.release()

    def _try(self) -> None:
        try:
            self._probe()
        except AwsError as error:
            self._health.report("status table", str(error))
            self._pause = min(self._timing.breaker_pause_most_seconds, self._pause * 2)
            self._probe_at = self._clocks.monotonic() + self._clocks.jitter(self._pause)
            return
        self._metrics.gauge(Metric.STORE_PAUSED, 0)
        self._health.report("status table", None)
        get_logger().info("store_resumed")
        self.is_tripped = False
