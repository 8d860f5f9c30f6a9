"""Brings a page's entries to every sink, and what a sink refuses to the quarantine (law 4)."""

import threading
from collections.abc import Callable, Sequence

from handlers.audit import AuditEntry
from processor.audit.quarantine import OUTCOME, Quarantine
from processor.audit.sinks.base import Refusal, Sink, SinkInterrupted, SinkUnavailable
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metric, Metrics

QUARANTINE = "quarantine"


class Delivery:
    """The sinks of this task, shared by all its shards, and which of them take nothing at the moment."""

    def __init__(
        self, sinks: Sequence[Sink], quarantine: Quarantine | None, metrics: Metrics, health: Health
    ) -> None:
        self.sinks = tuple(sinks)
        self._quarantine = quarantine
        self.metrics = metrics
        self._health = health
        self._lock = threading.Lock()
        self._down: set[str] = set()

    def batch(self, entries: Sequence[AuditEntry]) -> "Batch":
        """A page's entries, still to be delivered."""
        return Batch(self, entries)

    def worked(self, place: str) -> None:
        """Notes that a sink or the quarantine has taken something."""
        if place not in self._down:
            return
        with self._lock:
            self._down.discard(place)
            self.metrics.gauge(Metric.SINKS_DOWN, len(self._down))
        self._health.report(f"audit {place}", None)
        get_logger().info("audit_sink_up", sink=place)

    def failed(self, place: str, problem: str) -> None:
        """Notes that a sink or the quarantine takes nothing; the line comes once, not at each attempt."""
        self.metrics.count(Metric.SINK_ERRORS)
        with self._lock:
            is_news = place not in self._down
            self._down.add(place)
            self.metrics.gauge(Metric.SINKS_DOWN, len(self._down))
        self._health.report(f"audit {place}", problem)
        if is_news:
            get_logger().error("audit_sink_down", sink=place, problem=problem)

    def quarantine(self, refusal: Refusal, sink: str) -> None:
        """Puts a refused entry aside.

        Raises:
            SinkUnavailable: if there is no quarantine or it does not take the entry now.
        """
        if self._quarantine is None:
            problem = "an entry was refused and SQS_EXPORT_EVENTS_DLQ_URL names no queue for it"
            self.failed(QUARANTINE, problem)
            raise SinkUnavailable(problem)
        try:
            self._quarantine.take(refusal)
        except SinkUnavailable as unavailable:
            self.failed(QUARANTINE, str(unavailable))
            raise
        self.worked(QUARANTINE)
        self.metrics.count(Metric.QUARANTINED)
        get_logger().error(
            OUTCOME,
            audit_id=refusal.entry.audit_id,
            request_id=refusal.entry.request_id,
            sink=sink,
            reason=refusal.reason,
        )


class Batch:
    """The entries of one page on their way. `deliver` goes on where an earlier try ended."""

    def __init__(self, delivery: Delivery, entries: Sequence[AuditEntry]) -> None:
        self._delivery = delivery
        self._entries = entries
        self._sinks = list(delivery.sinks) if entries else []
        self._refused: list[tuple[str, Refusal]] = []
        self._put_aside: set[str] = set()

    def deliver(self, may_continue: Callable[[], bool]) -> None:
        """Returns once every sink or the quarantine has taken every entry.

        Raises:
            SinkUnavailable: not now; call again after a back-off.
            SinkInterrupted: `may_continue` said no.
        """
        while self._sinks or self._refused:
            while self._refused:
                name, refusal = self._refused[0]
                if not may_continue():
                    raise SinkInterrupted
                if refusal.entry.audit_id not in self._put_aside:
                    self._delivery.quarantine(refusal, name)
                    self._put_aside.add(refusal.entry.audit_id)
                del self._refused[0]
            if self._sinks:
                self._put(self._sinks[0], may_continue)
                del self._sinks[0]
        self._count()

    def _put(self, sink: Sink, may_continue: Callable[[], bool]) -> None:
        try:
            refusals = sink.put(self._entries, may_continue)
        except SinkUnavailable as unavailable:
            self._delivery.failed(sink.name, str(unavailable) or "takes no entries")
            raise
        self._delivery.worked(sink.name)
        self._refused.extend((sink.name, refusal) for refusal in refusals)

    def _count(self) -> None:
        entries, self._entries = self._entries, ()
        taken = [entry for entry in entries if entry.audit_id not in self._put_aside]
        expired = [entry for entry in taken if entry.action == "export.expired"]
        # An export that never got its answer is one, whatever became of its entry.
        unfinished = [entry for entry in entries if entry.action == "export.expired" and not entry.finished]
        metrics = self._delivery.metrics
        metrics.count(Metric.AUDIT_EXPIRED, len(expired))
        metrics.count(Metric.AUDIT_DELETED, len(taken) - len(expired))
        metrics.count(Metric.UNFINISHED_EXPIRIES, len(unfinished))
