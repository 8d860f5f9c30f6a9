"""Runs the demo: starts every part, sends the messages, watches, and compares at the end."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from processor.aws.calls import call
from processor.aws.errors import AwsError
from processor.demo.board import Board, View
from processor.demo.expectations import expected_endings, expected_rejections
from processor.demo.observer import observe
from processor.demo.producer import send_all
from processor.demo.scenario import scenario
from processor.demo.service_process import ServiceProcess
from processor.demo.verdict import Check, Evidence, verdict
from processor.localaws.embedded_aws import EmbeddedAws

LEAD_SECONDS = 0.5  # between planning and the first message
PATIENCE_SECONDS = 20.0
"""How long after the last export's end its deletion and audit entry may arrive."""

QUEUE_LOOK_SECONDS = 0.5


class DemonstrationError(Exception):
    """A part of the demo failed; the message is one line."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message in the dead-letter queue."""

    body: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """How the demo ended."""

    checks: Sequence[Check]
    rejections: Sequence[Rejection]
    view: View

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return all(check.passed for check in self.checks)


class Demonstration:
    """One run of the demo; a context manager that removes everything at its end.

    Args:
        exports: how many exports.
        ttl_seconds: how long each lives.
        seed: the seed of all random choices.
    """

    def __init__(self, *, exports: int, ttl_seconds: int, seed: int) -> None:
        self._exports = exports
        self._ttl_seconds = ttl_seconds
        self._seed = seed
        self._aws = EmbeddedAws(ttl_seconds=ttl_seconds)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: tuple[str, Exception] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="export-status-demo-")
        self._service: ServiceProcess | None = None
        self._board = Board()
        self._last_look = 0.0
        self._waiting = 0
        self._deadline: float | None = None
        self._bad_messages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._service is not None:
            self._service.kill()  # after `judge` it has already ended
        self._end_threads()
        self._aws.stop()
        self._directory.cleanup()

    def start(self, on_phase: Callable[[str], None]) -> None:
        """Starts AWS, the service, and then the producer.

        Args:
            on_phase: called with a few words at the start of each phase.

        Raises:
            EmbeddedAwsError: if the embedded AWS does not start.
            ServiceProcessError: if the service does not.
        """
        on_phase("starting an AWS on 127.0.0.1: moto's server, infra/data.yaml deployed")
        self._aws.start()
        on_phase(f"starting the service, `run`, against {self._aws.endpoint_url}")
        self._service = ServiceProcess(
            self._aws.service_environment(), Path(self._directory.name), self._board.on_line
        )
        self._aws.end_together(self._service.start())
        start = datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)
        sendings = scenario(
            exports=self._exports, ttl_seconds=self._ttl_seconds, seed=self._seed, start=start
        )
        board = self._board
        board.begin(len(sendings))
        deployment, client = self._aws.deployment, self._aws.client
        on_phase(f"sending {len(sendings)} messages about {self._exports} exports")
        self._run(
            "table watcher",
            lambda: observe(
                client("dynamodbstreams"),
                client("dynamodb"),
                deployment.table,
                stop=self._stop,
                on_change=board.on_change,
            ),
        )
        self._run(
            "producer",
            lambda: send_all(
                client("sqs"),
                deployment.queue_url,
                sendings,
                start=start,
                stop=self._stop,
                on_sent=board.on_sent,
            ),
        )

    def view(self) -> View:
        """The present snapshot, for a display."""
        return self._board.view()

    def is_over(self) -> bool:
        """Whether everything expected has happened, or its time is over.

        Raises:
            DemonstrationError: if a thread of the demo failed, or the embedded AWS does not answer.
            ServiceProcessError: if the service ended by itself.
        """
        if self._failure is not None:
            name, error = self._failure
            raise DemonstrationError(f"the {name} failed: {type(error).__name__}") from error
        if self._service is not None:
            self._service.check()
        self._look_at_queues()
        view = self._board.view()
        if view.sent < view.planned:
            return False
        if self._deadline is None:
            endings = expected_endings(view.messages, self._ttl_seconds)
            last = max((ending.expires for ending in endings.values()), default=0)
            self._deadline = time.monotonic() + max(0.0, last - time.time()) + PATIENCE_SECONDS
            self._bad_messages = len(expected_rejections(view.messages))
        all_has_happened = (
            sum(export.removed for export in view.exports) >= self._exports
            and len(view.audit_entries) >= self._exports
            and view.rejected >= self._bad_messages
            and self._waiting == 0
        )
        return all_has_happened or time.monotonic() > self._deadline

    def judge(self) -> Judgement:
        """Stops the service with SIGTERM, and compares what happened with what was expected.

        Raises:
            DemonstrationError: if the embedded AWS does not answer.
        """
        exit_status = self._service.stop() if self._service is not None else None
        self._last_look = 0.0
        self._look_at_queues()
        self._end_threads()
        rejections = self._rejections()
        view = self._board.view()
        checks = verdict(
            Evidence(
                sent=view.messages,
                planned=view.planned,
                changes=view.changes,
                audit_lines=view.audit_lines,
                rejected=[(each.body, each.outcome) for each in rejections],
                left_in_queue=self._waiting,
                leaking_lines=view.leaking_lines,
                exit_status=exit_status,
            ),
            self._ttl_seconds,
        )
        return Judgement(checks, rejections, view)

    def _run(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - is_over() raises it in the calling thread
                self._failure = (name, error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _end_threads(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _look_at_queues(self) -> None:
        if time.monotonic() - self._last_look < QUEUE_LOOK_SECONDS:
            return
        self._last_look = time.monotonic()
        deployment = self._aws.deployment
        self._waiting = self._messages_in(deployment.queue_url)
        self._board.on_rejected(self._messages_in(deployment.dlq_url))

    def _messages_in(self, queue_url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._ask_sqs("get_queue_attributes", QueueUrl=queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def _ask_sqs(self, operation: str, **parameters: object) -> Any:
        try:
            return call(getattr(self._aws.client("sqs"), operation), **parameters)
        except AwsError as failure:
            raise DemonstrationError(f"the embedded AWS does not answer ({failure})") from failure

    def _rejections(self) -> Sequence[Rejection]:
        rejections: list[Rejection] = []
        while True:
            messages = self._ask_sqs(
                "receive_message",
                QueueUrl=self._aws.deployment.dlq_url,
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not messages:
                return rejections
            for message in messages:
                values = {
                    name: attribute["StringValue"]
                    for name, attribute in message.get("MessageAttributes", {}).items()
                }
                rejections.append(
                    Rejection(
                        message["Body"], values.get("rejectionOutcome", ""), values.get("rejectionReason", "")
                    )
                )
