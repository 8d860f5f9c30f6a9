"""Pauses polling while the table is down, so that the outage spends no receive counts (law 9)."""

import random
import threading
from collections.abc import Callable

from processor.aws.errors import AwsError
from processor.observability.health import Health, Heartbeat
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0
_LOOK_SECONDS = 0.5


class CircuitBreaker:
    """Open while the table takes writes. One waiting thread at a time probes it, with growing pauses.

    Args:
        probe: tries a write that changes nothing; raises AwsError while the table is down.
        metrics: shows whether polling is paused.
        health: shows why.
    """

    def __init__(self, probe: Callable[[], None], metrics: Metrics, health: Health) -> None:
        self._probe = probe
        self._metrics = metrics
        self._health = health
        self._open = threading.Event()
        self._open.set()
        self._probing = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the table takes writes, as far as is known."""
        return self._open.is_set()

    def close(self, error: AwsError) -> None:
        """Pauses polling because of this error. May be called by many threads for one outage."""
        if self._open.is_set():
            self._open.clear()
            self._metrics.gauge(Metric.STORE_PAUSED, 1)
            self._health.report("status table", str(error))
            get_logger().error("store_paused", error=str(error), consequence="no messages are received")

    def wait_until_open(self, stop: threading.Event, heartbeat: Heartbeat) -> None:
        """Returns when the table takes writes again, or when it is time to stop."""
        pause = FIRST_PAUSE_SECONDS
        while not self._open.is_set() and not stop.is_set():
            if not self._probing.acquire(blocking=False):
                heartbeat.wait(stop, _LOOK_SECONDS)
                continue
            try:
                while not self._open.is_set() and not heartbeat.wait(stop, pause * random.uniform(0.5, 1)):
                    pause = min(MAX_PAUSE_SECONDS, pause * 2)
                    self._try()
            finally:
                self._probing.release()

    def _try(self) -> None:
        try:
            self._probe()
        except AwsError as error:
            self._health.report("status table", str(error))
            return
        self._metrics.gauge(Metric.STORE_PAUSED, 0)
        self._health.report("status table", None)
        get_logger().info("store_resumed")
        self._open.set()
