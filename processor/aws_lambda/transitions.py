"""The function behind an SQS event source mapping: events to the status table.

The mapping deletes what the function does not report as failed. The function itself backs failed messages
off, and copies rejected ones to the dead-letter queue before it answers.
"""

import base64
import math
import time
from collections.abc import Sequence
from typing import Any, cast

from processor.aws.sqs import BatchResult
from processor.aws_lambda.runtime import Context, Environment, Event, Failures, entry_point, failures
from processor.observability.metrics import Part
from processor.settings import SettingsError
from processor.transitions.context import Clocks, PipelineContext, Timing
from processor.transitions.event_queue import EventQueue
from processor.transitions.handling import SETTLE_SECONDS
from processor.transitions.messages import Message, newest_handles
from processor.transitions.pipeline import Transitions, check_resources


class TableUnavailable(Exception):
    """The table took no writes. The whole batch fails, so that Lambda sends fewer."""


class MappedQueue(EventQueue):
    """The event queue behind a mapping, which deletes messages by itself; the arguments are `EventQueue`'s.

    Attributes:
        settled, left: the messages of this invocation that the mapping is to delete, and those that stay.
    """

    settled: list[Message]
    left: list[Message]

    def delete(self, messages: Sequence[Message], deadline: float = math.inf) -> BatchResult:  # noqa: ARG002
        """Notes what the mapping is to delete."""
        self.settled += messages
        return BatchResult({}, {})

    def make_visible(
        self, messages: Sequence[tuple[Message, int]], deadline: float = math.inf
    ) -> BatchResult:
        """Notes what stays, and backs it off."""
        self.left += [message for message, _ in messages]
        return super().make_visible(messages, deadline)

    def delete_settled(self) -> None:
        """Deletes what is settled, for an invocation that fails: the mapping would send all of it again."""
        super().delete(self.settled)


class TransitionsFunction:
    """Handles the invocations of one execution environment, one at a time.

    Args:
        environment: settings, clients and metrics.
        clocks: every source of time and chance.

    Raises:
        StartError: if a queue or the table is missing or wrong.
        SettingsError: if the settings cannot work with this queue.
    """

    def __init__(self, environment: Environment, clocks: Clocks | None = None) -> None:
        self._environment = environment
        settings, aws = environment.settings, environment.aws
        self._parts = Transitions(
            aws,
            *check_resources(settings, aws),
            PipelineContext(
                settings,
                environment.metrics,
                environment.health,
                clocks or Clocks(),
                # An invocation pauses for nothing: it probes a table that was down, and fails again.
                Timing(breaker_pause_seconds=0.0, breaker_pause_most_seconds=0.0),
            ),
            wake=lambda _number: None,
            make_queue=MappedQueue,
        )
        self._parts.monitor.judge_start()

    def __call__(self, event: Event, context: Context) -> Failures:
        """Applies and settles a batch.

        Args:
            event: as the mapping makes it.
            context: Lambda's.

        Returns:
            The messages that stay in the queue.

        Raises:
            TableUnavailable: the table took no write.
            SettingsError: the function's timeout leaves no time for a write.
        """
        received = time.monotonic()
        seconds = context.get_remaining_time_in_millis() // 1_000
        if seconds <= SETTLE_SECONDS:
            raise SettingsError(f"the function's timeout must be above {SETTLE_SECONDS:.0f} s, better 30 s")
        queue, breaker = cast("MappedQueue", self._parts.queue), self._parts.breaker
        queue.settled, queue.left = [], []
        breaker.pause()  # probes a table that was down
        messages = newest_handles(message_of(record) for record in event["Records"])
        for _ in self._parts.handler.steps(messages, received, seconds):
            pass
        self._parts.outcome_log.flush(at_once=True)
        self._parts.monitor.step()
        self._environment.write_metrics()
        if breaker.is_tripped:
            queue.delete_settled()
            raise TableUnavailable("the status table takes no writes; the messages come back")
        return failures([message.message_id for message in queue.left])


def message_of(record: Event) -> Message:
    """The message in a record of the mapping's event, which begins SQS's names with a small letter.

    Raises:
        LookupError, TypeError, ValueError, AttributeError: if the record is no message.
    """
    message = _spelled(record)
    attributes = {name: _spelled(each) for name, each in message.get("MessageAttributes", {}).items()}
    for each in attributes.values():
        if "BinaryValue" in each:
            each["BinaryValue"] = base64.b64decode(each["BinaryValue"])
    return Message.from_sqs(message | {"MessageAttributes": attributes})


def _spelled(record: Event) -> dict[str, Any]:
    return {name[0].upper() + name[1:]: value for name, value in record.items() if value not in (None, [])}


handler = entry_point(TransitionsFunction, Part.TRANSITIONS)
"""Lambda's entry point."""
