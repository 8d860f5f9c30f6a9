"""The function behind a DynamoDB Streams event source mapping: removals to audit entries in the sinks.

The mapping keeps the position in each shard. It moves behind a record only when every sink, or the
quarantine, has the entries before it (docs/invariants.md, law 4).
"""

import threading
import time
from datetime import UTC, datetime

from processor.audit.delivery import Delivery
from processor.audit.pipeline import open_quarantine, open_sinks
from processor.audit.removals import Removals, source_of
from processor.aws_lambda.runtime import Context, Environment, Event, Failures, entry_point, failures
from processor.observability.metrics import Part
from processor.streams.record_processor import Interrupted, Unavailable

RESERVED_SECONDS = 10.0
"""Part of an invocation's time that is kept for a call that has begun, and for the answer."""


class AuditFunction:
    """Handles the invocations of one execution environment, one at a time.

    Args:
        environment: settings, clients and metrics.

    Raises:
        StartError: if the audit stream or a queue is missing.
        SettingsError: if the settings cannot work.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._never = threading.Event()  # Lambda asks for no stop
        settings, aws = environment.settings, environment.aws
        sinks, quarantine = open_sinks(settings, aws), open_quarantine(settings, aws, self._never)
        self._removals = Removals(Delivery(sinks, quarantine, environment.metrics, environment.health))

    def __call__(self, event: Event, context: Context) -> Failures:
        """Delivers a batch of one shard's records.

        Args:
            event: as the mapping makes it. Records other than REMOVE are skipped, whatever its filter passes.
            context: Lambda's.

        Returns:
            The first record that is not durable, from which the mapping goes on; none if all are.
        """
        deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1_000 - RESERVED_SECONDS
        records = event["Records"]
        work = self._removals.begin_of(
            source_of(records[0]["eventSourceARN"], None), records, datetime.now(UTC)
        )
        while work.durable_records < len(records) and time.monotonic() < deadline:
            try:
                work.go_on(lambda: time.monotonic() < deadline)
            except Unavailable as later:
                left = max(0.0, deadline - time.monotonic())
                self._never.wait(min(left, later.retry_seconds or 0.0))
            except Interrupted:
                break
        self._environment.write_metrics()
        rest = records[work.durable_records :]
        return failures([each["dynamodb"]["SequenceNumber"] for each in rest[:1]])


handler = entry_point(AuditFunction, Part.AUDIT)
"""Lambda's entry point."""
