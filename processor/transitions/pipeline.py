"""The transitions pipeline: its start-up checks, its receiver threads, and how it stops."""

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from processor.aws.clients import Aws
from processor.dead_letters import DeadLetterQueue
from processor.observability.health import Health
from processor.observability.log import get_logger
from processor.observability.metrics import Metrics
from processor.settings import Settings, SettingsError
from processor.startup_checks import check_table, dead_letter_url, read_queue
from processor.transitions.applier import Applier
from processor.transitions.circuit_breaker import CircuitBreaker
from processor.transitions.event_queue import EventQueue
from processor.transitions.receiver import Receiver
from processor.transitions.settlement import Settlement
from processor.transitions.status_table import StatusTable
from processor.transitions.write_modes import choose_writer

RELEASE_SECONDS = 6.0  # of the drain budget, kept for a call that does not answer and for giving back
_ANOTHER_QUEUE = "SQS_EXPORT_EVENTS_DLQ_URL must name another queue than the event queue"


class TransitionsPipeline:
    """SQS to the status table. `start` once; `stop` and `join` may be called at any time, and twice.

    Args:
        settings: the service's settings.
        aws: the clients.
        metrics, health: where it reports.
        on_death: called with a thread's name and what killed it.
        clock: our clock.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        aws: Aws,
        metrics: Metrics,
        health: Health,
        on_death: Callable[[str, BaseException], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._aws = aws
        self._metrics = metrics
        self._health = health
        self._on_death = on_death
        self._clock = clock
        self._stop = threading.Event()
        self._abandon = threading.Event()
        self._threads: list[threading.Thread] = []
        self._timer: threading.Timer | None = None
        self._deadline = math.inf

    def start(self, cancelled: threading.Event) -> None:
        """Checks queue and table, then starts the receivers.

        Args:
            cancelled: set when the service is told to stop; the checks end early then.

        Raises:
            StartError: if a queue or the table is missing or wrong.
            SettingsError: if the settings cannot work with this queue.
        """
        settings, url = self._settings, self._settings.required_queue_url()
        sqs = self._aws.settling()
        if settings.dlq_url == url:
            raise SettingsError(_ANOTHER_QUEUE)
        facts = read_queue(sqs, url, cancelled)
        dlq_url = dead_letter_url(sqs, settings.dlq_url, facts.redrive.dead_letter_arn, cancelled)
        if dlq_url == url:
            raise SettingsError(_ANOTHER_QUEUE)
        check_table(self._aws.dynamodb(), settings.table, cancelled)
        table = StatusTable(self._aws.dynamodb(), settings.table, self._clock, self._abandon)
        queue = EventQueue(
            receiving=self._aws.receiving(),
            settling=sqs,
            url=url,
            abandon=self._abandon,
            metrics=self._metrics,
        )
        dead_letters = DeadLetterQueue(sqs, dlq_url, self._clock, self._abandon)
        breaker = CircuitBreaker(table.probe, self._metrics, self._health)
        settlement = Settlement(queue, dead_letters, self._metrics, facts.redrive.max_receive_count)
        applier = Applier(table, choose_writer(settings.write_mode, table), self._clock, settings.ttl_seconds)
        longest_call = settings.poll_seconds + 15
        for number in range(settings.receivers):
            name = f"receiver-{number}"
            receiver = Receiver(
                queue=queue,
                applier=applier,
                settlement=settlement,
                breaker=breaker,
                metrics=self._metrics,
                heartbeat=self._health.loop(name, longest_call + facts.visibility_seconds),
                report=partial(self._health.report, "event queue"),
                clock=self._clock,
                stop=self._stop,
                abandon=self._abandon,
                poll_seconds=settings.poll_seconds,
                visibility_seconds=facts.visibility_seconds,
                fifo=url.endswith(".fifo"),
            )
            self._threads.append(
                threading.Thread(target=self._guard, args=(name, receiver.run), name=name, daemon=True)
            )
        if cancelled.is_set():
            return
        for thread in self._threads:
            thread.start()
        get_logger().info(
            "transitions_started",
            receivers=settings.receivers,
            visibility_seconds=facts.visibility_seconds,
            max_receive_count=facts.redrive.max_receive_count,
        )

    def stop(self, deadline: float) -> None:
        """Stops receiving. Messages in hand are finished; shortly before the deadline what was not started
        is given back.

        Args:
            deadline: on `time.monotonic()`.
        """
        self._stop.set()
        self._deadline = min(self._deadline, deadline)
        if self._timer is None:
            self._timer = threading.Timer(
                max(0.0, deadline - RELEASE_SECONDS - time.monotonic()), self._abandon.set
            )
            self._timer.daemon = True
            self._timer.start()

    def join(self) -> bool:
        """Waits for the end that `stop` asked for, until its deadline.

        Returns:
            Whether every receiver has ended.
        """
        for thread in [*self._threads]:  # the start may still be adding to them
            if thread.ident is not None:
                left = self._deadline - time.monotonic()
                thread.join(max(0.0, left) if math.isfinite(left) else None)
        if self._timer is not None:
            self._timer.cancel()
        return not any(thread.is_alive() for thread in self._threads)

    def _guard(self, name: str, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - whatever kills the thread must end the process
            self._on_death(name, error)
