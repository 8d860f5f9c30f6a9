"""The transitions pipeline: how its parts are put together, its start-up checks, its threads and its stop."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from processor.aws.clients import Aws
from processor.aws.errors import Misconfigured
from processor.dead_letters import DeadLetterQueue
from processor.loops import Death, Loop, StopReport
from processor.observability.log import get_logger
from processor.settings import Settings, SettingsError
from processor.startup_checks import (
    ANOTHER_QUEUE,
    QueueState,
    StartError,
    check_table,
    dead_letter_url,
    read_queue,
)
from processor.transitions.applier import Applier
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.context import PipelineContext
from processor.transitions.event_queue import EventQueue
from processor.transitions.handling import BatchHandler
from processor.transitions.intake import Intake
from processor.transitions.outcome_log import OutcomeLog
from processor.transitions.queue_monitor import QueueMonitor
from processor.transitions.receiver import Receiver
from processor.transitions.refusals import Refusals
from processor.transitions.settlement import Settlement
from processor.transitions.status_table import StatusTable
from processor.transitions.write_modes import WriteMode
from processor.transitions.writers import Writer

RELEASE_SECONDS = 6.0  # of the drain budget: for a call that does not answer, and for releases
LONGEST_CALL_SECONDS = 15
HOUSEKEEPING_LIMIT_SECONDS = 60.0  # of a step: a look at the queue with its retries
HOUSEKEEPING_END_SECONDS = 1.0


class Transitions:
    """The parts that do the work, put together for the service and for the simulated world alike.

    Makes no thread: each part is driven by calls of its step, by one thread at a time.

    Args:
        aws: the clients.
        queue_state: the event queue's attributes.
        dlq_url: the dead-letter queue's URL.
        context: what the parts share.
        wake: called with the number of a receiver whose next step is due at once.
        make_queue: makes the event queue.

    Attributes:
        receivers: their `step` receives, applies and settles.
        outcome_log: has to be flushed every second, and at the end.
        monitor: reads the queue's attributes again.
        queue, handler, breaker: what the receivers share, for who receives in another way.
    """

    def __init__(
        self,
        aws: Aws,
        queue_state: QueueState,
        dlq_url: str,
        context: PipelineContext,
        *,
        wake: Callable[[int], None],
        make_queue: Callable[[Aws, str, PipelineContext], EventQueue] = EventQueue,
    ) -> None:
        settings, clocks = context.settings, context.clocks
        url = settings.required_queue_url()
        table = StatusTable(aws.dynamodb(), settings.table, context)
        dead_letters = DeadLetterQueue(
            aws.settling(),
            dlq_url,
            clocks.now,
            context.abandon,
            monotonic=clocks.monotonic,
            back_off=context.queue_back_off,
        )
        refusals = Refusals(table)

        def probe() -> None:
            table.probe()
            refusals.check()  # an index refuses real writes, not the probe

        self.queue = make_queue(aws, url, context)
        self.breaker = CircuitBreaker(probe, context)
        self.outcome_log = OutcomeLog(clocks.monotonic)
        self.monitor = QueueMonitor(aws.settling(), url, queue_state, context)
        writer = Writer(table, WriteMode(settings.write_mode, table))
        self.handler = BatchHandler(
            Applier(table, writer, refusals.explain),
            Settlement(self.queue, dead_letters, self.outcome_log, self.monitor, context),
            self.breaker,
            context,
        )
        intake = Intake(settings.linger_seconds, settings.receivers, clocks, wake)
        self.receivers = [
            Receiver(
                number,
                queue=self.queue,
                intake=intake,
                handler=self.handler,
                breaker=self.breaker,
                monitor=self.monitor,
                context=context,
            )
            for number in range(settings.receivers)
        ]

    def keep_house(self) -> float:
        """Does what is due every second; a step that says how long to wait (seconds)."""
        self.outcome_log.flush()
        self.monitor.step()
        return 1.0


def check_resources(settings: Settings, aws: Aws) -> tuple[QueueState, str]:
    """Checks queue, dead-letter queue and table.

    Args:
        settings: name them.
        aws: the clients.

    Returns:
        The event queue's attributes, and the dead-letter queue's URL.

    Raises:
        StartError: if a queue or the table is missing or wrong.
        SettingsError: if the settings cannot work with this queue.
    """
    sqs, url = aws.settling(), settings.required_queue_url()
    queue_state = read_queue(sqs, url, names_dead_letters=settings.dlq_url is None)
    dlq_url = dead_letter_url(sqs, settings.dlq_url, queue_state.redrive.dead_letter_arn, queue_state.arn)
    if dlq_url == url:
        raise SettingsError(ANOTHER_QUEUE)
    check_table(aws.dynamodb(), settings.table)
    return queue_state, dlq_url


class TransitionsPipeline:
    """SQS to the status table. `start` once; `stop` and `join` may be called at any time, and twice.

    Args:
        aws: the clients.
        context: what its parts share.
        on_death: called with a thread's name and the error that ended it.
    """

    def __init__(self, aws: Aws, context: PipelineContext, on_death: Death) -> None:
        self._aws = aws
        self._context = context
        self._on_death = on_death
        self._loops: list[Loop] = []
        self._housekeeping: Loop | None = None
        self._timer: threading.Timer | None = None
        self._deadline = math.inf

    def start(self, cancelled: threading.Event) -> None:
        """Checks queue and table, then starts the receivers.

        Args:
            cancelled: set when the service has to stop; nothing starts then.

        Raises:
            StartError: if a queue or the table is missing or wrong.
            SettingsError: if the settings cannot work with this queue.
        """
        settings = self._context.settings
        queue_state, dlq_url = check_resources(settings, self._aws)
        parts = Transitions(
            self._aws, queue_state, dlq_url, self._context, wake=lambda number: self._loops[number].wake()
        )
        parts.monitor.judge_start()
        if cancelled.is_set():
            return
        try:  # without that the half has not started, whatever may be asked about the queue
            parts.receivers[0].first_receive()
        except Misconfigured as refused:
            raise StartError(f"the event queue refuses receives ({refused})") from None
        limit_seconds = settings.poll_seconds + LONGEST_CALL_SECONDS + parts.monitor.handling_seconds
        self._loops += [
            self._loop(f"receiver-{number}", receiver.step, limit_seconds)
            for number, receiver in enumerate(parts.receivers)
        ]
        self._housekeeping = self._loop(
            "transitions-housekeeping",
            parts.keep_house,
            HOUSEKEEPING_LIMIT_SECONDS,
            ended=lambda: parts.outcome_log.flush(at_once=True),
        )
        if cancelled.is_set():
            return
        for loop in [*self._loops, self._housekeeping]:
            loop.start()
        get_logger().info(
            "transitions_started",
            receivers=settings.receivers,
            visibility_seconds=queue_state.visibility_seconds,
            max_receive_count=queue_state.redrive.max_receive_count,
        )

    def stop(self, deadline: float) -> None:
        """Stops receiving. Received messages are finished; shortly before the deadline those that were not
        begun are released.

        Args:
            deadline: on `time.monotonic()`.
        """
        self._context.stop.set()
        self._deadline = min(self._deadline, deadline)
        for loop in [*self._loops]:  # the start may still be adding to them
            loop.wake()
        if self._timer is None:
            self._timer = threading.Timer(
                max(0.0, deadline - RELEASE_SECONDS - time.monotonic()), self._context.abandon.set
            )
            self._timer.daemon = True
            self._timer.start()

    def join(self) -> StopReport:
        """Waits for the end that `stop` asked for, until its deadline."""
        ended = [
            loop.join(min(threading.TIMEOUT_MAX, self._deadline - time.monotonic()))
            for loop in [*self._loops]
        ]
        if self._housekeeping:  # after the receivers: it tells what they counted
            self._housekeeping.stop()
            ended.append(self._housekeeping.join(HOUSEKEEPING_END_SECONDS))
        if self._timer is not None:
            self._timer.cancel()
        return StopReport(clean=all(ended), hung=not all(ended))

    def _loop(self, name: str, step: Callable[[], float | None], limit_seconds: float, **more: Any) -> Loop:
        health, on_death = self._context.health, self._on_death
        return Loop(name, step, health=health, limit_seconds=limit_seconds, on_death=on_death, **more)
