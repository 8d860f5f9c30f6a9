"""Delivers a page's entries to every sink, and refused entries to the quarantine.

A batch ends only when every sink or the quarantine has each entry (docs/invariants.md, law 4). The sinks do
not wait for each other: while one is down, the others take the page. Each sink backs off by itself.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from handlers.audit import AuditEntry
from processor.audit.quarantine import OUTCOME, Quarantine
from processor.audit.sinks.base import Refusal, Sink, SinkUnavailable
from processor.backoff import BackOff
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import PROBE_PREFIX, Metric, Metrics
from processor.streams.record_processor import Blocked, Interrupted

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
        self.metrics = metrics
        self.clock = clock
        self._quarantine = quarantine
        self._health = health
        self._lock = threading.Lock()
        self._failed_at: dict[object, tuple[str, float]] = {}
        self._down: set[str] = set()

    def batch(self, entries: Sequence[tuple[int, AuditEntry]], count: int) -> "Batch":
        """Begins to deliver a page's entries.

        Args:
            entries: of one shard, oldest first, each with the place of its record in the page.
            count: how many records the page has.
        """
        self.note(None)
        return Batch(self, entries, count)

    def note(self, errand: "_Errand | None", problem: str | None = None) -> None:
        """Notes how a batch fares with a sink or the quarantine. An outage has one line at each end.

        Batches that are not tried any more keep no sink down: their shards were released.

        Args:
            errand: what was tried; None: nothing was.
            problem: why it failed; None: it worked.
        """
        if problem is None and not self._down:
            return
        now = self.clock()
        with self._lock:
            if errand is not None:
                self._failed_at.pop(errand.token, None)
                if problem is not None:
                    self._failed_at[errand.token] = errand.place, now
            failed = self._failed_at.items()
            self._failed_at = {
                token: (place, at) for token, (place, at) in failed if now - at < FORGOTTEN_SECONDS
            }
            down = {place for place, _ in self._failed_at.values()}
            new, up, self._down = down - self._down, self._down - down, down
            self.metrics.gauge(Metric.SINKS_DOWN, len(down))
        if errand is not None and problem is not None:
            self.metrics.count(Metric.SINK_ERRORS)
            self._health.report(f"audit {errand.place}", problem)
        for place in new:
            get_logger().error("audit_sink_down", sink=place, problem=problem)
        for place in up:
            self._health.report(f"audit {place}", None)
            get_logger().info("audit_sink_up", sink=place)

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
    """The entries of one page on their way; see `processor.streams.record_processor.Work`.

    Args:
        delivery: the sinks and the quarantine.
        entries: of one shard, oldest first, each with the place of its record in the page.
        count: how many records the page has.
    """

    def __init__(self, delivery: Delivery, entries: Sequence[tuple[int, AuditEntry]], count: int) -> None:
        self.has_effects = bool(entries)
        self._delivery = delivery
        self._entries = entries
        self._count = count
        self._counted = 0
        alone = [entry for _, entry in entries]
        self._puts = [(sink.name, sink.begin(alone)) for sink in delivery.sinks if alone]
        self._refused = [(name, refusal) for name, put in self._puts for refusal in put.refusals]
        self._quarantined: set[str] = set()
        self._errands = [_Errand(delivery, name, put.go_on) for name, put in self._puts]
        if self._refused:
            self._errands.append(_Errand(delivery, QUARANTINE, self._send_refused))

    @property
    def durable_records(self) -> int:
        """How many of the page's first records every sink or the quarantine has; see `Work`."""
        held = {refusal.entry.audit_id for _, refusal in self._refused}
        holding = (place for place, (_, entry) in enumerate(self._entries) if entry.audit_id in held)
        durable = min([put.durable for _, put in self._puts] + [next(holding, len(self._entries))])
        return self._entries[durable][0] if durable < len(self._entries) else self._count

    def go_on(self, may_continue: Callable[[], bool]) -> None:
        """Continues where the last call stopped; returns when every sink or the quarantine has every entry.

        Args:
            may_continue: see `Put.go_on`.

        Raises:
            SinkUnavailable: call again after its `retry_seconds`.
            Blocked: only the quarantine is missing.
            Interrupted: `may_continue` returned False.
        """
        try:
            problems = [errand.go_on(may_continue) for errand in self._errands]
        finally:
            self._report()
        waiting = [problem for problem in problems if problem is not None]
        if waiting:
            first = min(waiting, key=lambda problem: problem.retry_seconds or 0.0)
            raise Blocked(str(first)) if first.retry_seconds == math.inf else first

    def _send_refused(self, may_continue: Callable[[], bool]) -> None:
        while self._refused:
            sink, refusal = self._refused[0]
            if refusal.entry.audit_id not in self._quarantined:
                if not may_continue():
                    raise Interrupted
                self._delivery.quarantine(refusal, sink)
                self._quarantined.add(refusal.entry.audit_id)
            del self._refused[0]

    def _report(self) -> None:
        """Counts what has become durable since the last time; the next owner counts the rest."""
        durable = self.durable_records
        entries = [each for each in self._entries[self._counted :] if each[0] < durable]
        self._counted += len(entries)
        counts: Counter[Metric] = Counter()
        for _, entry in entries:
            is_expired = entry.action == "export.expired"
            if entry.audit_id not in self._quarantined:
                counts[Metric.AUDIT_EXPIRED if is_expired else Metric.AUDIT_DELETED] += 1
            # An export that never completed is counted, wherever its entry went.
            if is_expired and not entry.finished and not entry.request_id.startswith(PROBE_PREFIX):
                counts[Metric.UNFINISHED_EXPIRIES] += 1
        for metric, count in counts.items():
            self._delivery.metrics.count(metric, count)


@dataclass(eq=False)
class _Errand:
    """Brings entries to one place, a sink or the quarantine, and backs off by itself."""

    delivery: Delivery
    place: str
    step: Callable[[Callable[[], bool]], None]
    """Makes one try; returns when everything is durable."""
    back_off: BackOff = field(default_factory=lambda: BackOff(FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS))
    retry_at: float = -math.inf
    is_done: bool = False
    token: object = field(default_factory=object)
    """Stands for it where its entries must not be kept in memory."""

    def go_on(self, may_continue: Callable[[], bool]) -> SinkUnavailable | None:
        """Continues if it is due; returns what it waits for, or None when it is done.

        Raises:
            Interrupted: `may_continue` returned False.
        """
        if self.is_done:
            return None
        clock = self.delivery.clock
        left = self.retry_at - clock()
        if left > 0:
            return SinkUnavailable(f"{self.place} backs off", retry_seconds=left)
        try:
            self.step(may_continue)
        except SinkUnavailable as unavailable:
            if unavailable.is_outage:
                self.delivery.note(self, str(unavailable) or "takes no entries")
            if unavailable.retry_seconds is None:
                unavailable.retry_seconds = self.back_off.failed()
            self.retry_at = clock() + unavailable.retry_seconds
            return unavailable
        self.is_done = True
        self.delivery.note(self)
        return None
