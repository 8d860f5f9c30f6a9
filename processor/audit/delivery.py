"""Delivers a page's entries to every sink, and refused entries to the quarantine.

A batch ends only when every sink or the quarantine has each entry (docs/invariants.md, law 4). The sinks do
not wait for each other: while one is down, the others take the page. Each sink backs off by itself.
"""

import math
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from handlers.audit import AuditEntry
from processor.audit.quarantine import OUTCOME, Quarantine
from processor.audit.sinks.base import Put, Refusal, Sink, SinkInterrupted, SinkUnavailable
from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import PROBE_PREFIX, Metric, Metrics

QUARANTINE = "quarantine"

FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 30.0


FORGOTTEN_SECONDS = 60.0
"""A batch that is still wanted is tried again sooner."""


class Delivery:
    """The sinks and the quarantine of this task, shared by all its shards, and which of them are down.

    Args:
        sinks: every one of them gets every entry.
        quarantine: gets what a sink refuses; None: a refused entry holds its shard.
        metrics, health: where it reports.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        quarantine: Quarantine | None,
        metrics: Metrics,
        health: Health,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sinks = tuple(sinks)
        self._quarantine = quarantine
        self.metrics = metrics
        self.clock = clock
        self._health = health
        self._lock = threading.Lock()
        self._down: dict[str, weakref.WeakKeyDictionary[_Errand, float]] = {}

    def batch(self, entries: Sequence[AuditEntry]) -> "Batch":
        """Begins to deliver a page's entries."""
        self._forget()
        return Batch(self, entries)

    def _forget(self) -> None:
        """Shows no sink as down for batches alone that are not tried any more: their shards were released."""
        if not self._down:
            return
        with self._lock:
            up = [place for place, waiting in self._down.items() if not self._is_wanted(waiting)]
            for place in up:
                del self._down[place]
            self.metrics.gauge(Metric.SINKS_DOWN, len(self._down))
        for place in up:
            self._show_up(place)

    def _is_wanted(self, waiting: "weakref.WeakKeyDictionary[_Errand, float]") -> bool:
        return any(self.clock() - failed_at < FORGOTTEN_SECONDS for failed_at in [*waiting.values()])

    def _show_up(self, place: str) -> None:
        self._health.report(f"audit {place}", None)
        get_logger().info("audit_sink_up", sink=place)

    def worked(self, errand: "_Errand") -> None:
        """Notes that a sink or the quarantine works for a batch; the line follows when it does for all."""
        place = errand.place
        if place not in self._down:
            return
        with self._lock:
            waiting = self._down.get(place)
            if waiting is None:
                return
            waiting.pop(errand, None)
            if self._is_wanted(waiting):
                return
            del self._down[place]
            self.metrics.gauge(Metric.SINKS_DOWN, len(self._down))
        self._show_up(place)

    def failed(self, errand: "_Errand", problem: str) -> None:
        """Notes that a sink or the quarantine is down for a batch; an outage gets one line."""
        place = errand.place
        self.metrics.count(Metric.SINK_ERRORS)
        with self._lock:
            is_news = place not in self._down
            self._down.setdefault(place, weakref.WeakKeyDictionary())[errand] = self.clock()
            self.metrics.gauge(Metric.SINKS_DOWN, len(self._down))
        self._health.report(f"audit {place}", problem)
        if is_news:
            get_logger().error("audit_sink_down", sink=place, problem=problem)

    def quarantine(self, refusal: Refusal, sink: str) -> None:
        """Sends a refused entry to the quarantine.

        Raises:
            SinkUnavailable: if there is no quarantine, or if it does not take the entry now.
        """
        if self._quarantine is None:
            problem = "an entry was refused and SQS_EXPORT_EVENTS_DLQ_URL names no queue for it"
            raise SinkUnavailable(problem, retry_seconds=math.inf)
        self._quarantine.send(refusal)
        self.metrics.count(Metric.QUARANTINED)
        get_logger().error(
            OUTCOME,
            audit_id=refusal.entry.audit_id,
            request_id=refusal.entry.request_id,
            sink=sink,
            reason=refusal.reason,
        )


class Batch:
    """The entries of one page on their way. One thread at a time uses it.

    Args:
        delivery: the sinks and the quarantine.
        entries: of one shard, oldest first.
    """

    def __init__(self, delivery: Delivery, entries: Sequence[AuditEntry]) -> None:
        self._delivery = delivery
        self._entries = entries
        self._count = len(entries)
        self._puts = [_SinkErrand(sink, entries, delivery) for sink in delivery.sinks] if entries else []
        refused = [(put.place, refusal) for put in self._puts for refusal in put.put.refusals]
        self._quarantine = _QuarantineErrand(refused, delivery)
        self._errands: list[_Errand] = [*self._puts, self._quarantine]

    @property
    def durable(self) -> int:
        """How many of the first entries every sink or the quarantine has."""
        if not self._entries:
            return self._count
        refused = {refusal.entry.audit_id for _, refusal in self._quarantine.refused}
        held = (index for index, entry in enumerate(self._entries) if entry.audit_id in refused)
        return min([put.put.durable for put in self._puts] + [next(held, self._count)])

    def deliver(self, may_continue: Callable[[], bool]) -> None:
        """Continues where the last call stopped; returns when every sink or the quarantine has every entry.

        Args:
            may_continue: see `Put.go_on`.

        Raises:
            SinkUnavailable: call again after its `retry_seconds`.
            SinkInterrupted: `may_continue` returned False.
        """
        problems = [errand.go_on(may_continue) for errand in self._errands]
        waiting = [problem for problem in problems if problem is not None]
        if waiting:
            raise min(waiting, key=lambda problem: problem.retry_seconds or 0.0)
        self._report()

    def _report(self) -> None:
        entries, self._entries = self._entries, ()
        quarantined = self._quarantine.sent
        delivered = [entry for entry in entries if entry.audit_id not in quarantined]
        expired = [entry for entry in delivered if entry.action == "export.expired"]
        # An export that never completed is counted, wherever its entry went.
        unfinished = [
            entry
            for entry in entries
            if entry.action == "export.expired"
            and not entry.finished
            and not entry.request_id.startswith(PROBE_PREFIX)
        ]
        metrics = self._delivery.metrics
        metrics.count(Metric.AUDIT_EXPIRED, len(expired))
        metrics.count(Metric.AUDIT_DELETED, len(delivered) - len(expired))
        metrics.count(Metric.UNFINISHED_EXPIRIES, len(unfinished))


class _Errand(ABC):
    """Brings entries to one place, a sink or the quarantine, and backs off by itself."""

    def __init__(self, place: str, delivery: Delivery) -> None:
        self.place = place
        self._delivery = delivery
        self._back_off = BackOff(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS)
        self._retry_at = -math.inf
        self._is_done = False

    def go_on(self, may_continue: Callable[[], bool]) -> SinkUnavailable | None:
        """Continues if it is due; returns what it waits for, or None when it is done.

        Raises:
            SinkInterrupted: `may_continue` returned False.
        """
        if self._is_done:
            return None
        clock = self._delivery.clock
        left = self._retry_at - clock()
        if left > 0:
            return SinkUnavailable(f"{self.place} backs off", retry_seconds=left)
        try:
            self._step(may_continue)
        except SinkUnavailable as unavailable:
            if unavailable.is_outage:
                self._delivery.failed(self, str(unavailable) or "takes no entries")
            delay = unavailable.retry_seconds
            unavailable.retry_seconds = self._back_off.failed() if delay is None else delay
            self._retry_at = clock() + unavailable.retry_seconds
            return unavailable
        self._is_done = True
        self._delivery.worked(self)
        return None

    @abstractmethod
    def _step(self, may_continue: Callable[[], bool]) -> None:
        """Makes one try; returns when everything is durable."""


class _SinkErrand(_Errand):
    """Puts a page's entries into one sink."""

    def __init__(self, sink: Sink, entries: Sequence[AuditEntry], delivery: Delivery) -> None:
        super().__init__(sink.name, delivery)
        self.put: Put = sink.begin(entries)

    def _step(self, may_continue: Callable[[], bool]) -> None:
        self.put.go_on(may_continue)


class _QuarantineErrand(_Errand):
    """Sends a page's refused entries to the quarantine, each once."""

    def __init__(self, refused: list[tuple[str, Refusal]], delivery: Delivery) -> None:
        super().__init__(QUARANTINE, delivery)
        self.refused = refused
        """Sinks' names and what they refuse, as far as it is not in the quarantine yet."""
        self.sent: set[str] = set()
        self._is_done = not refused

    def _step(self, may_continue: Callable[[], bool]) -> None:
        while self.refused:
            sink, refusal = self.refused[0]
            if refusal.entry.audit_id not in self.sent:
                if not may_continue():
                    raise SinkInterrupted
                self._delivery.quarantine(refusal, sink)
                self.sent.add(refusal.entry.audit_id)
            del self.refused[0]
