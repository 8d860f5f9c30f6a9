"""Runs the demo: starts every part, sends the messages, watches, and compares at the end."""

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from processor.aws.calls import call
from processor.demo.board import Board, Rejection
from processor.demo.observer import observe
from processor.demo.producer import send_all
from processor.demo.scenario import scenario
from processor.demo.service_process import ServiceProcess
from processor.demo.verdict import Verdict, verdict
from processor.localaws.embedded_aws import EmbeddedAws

LEAD_SECONDS = 0.5  # between planning and the first message
PATIENCE_SECONDS = 20.0
"""How long after the last export's end its deletion and audit entry may arrive."""

QUEUE_LOOK_SECONDS = 0.5


class DemonstrationError(Exception):
    """A part of the demo failed; the message is one line."""


class Demonstration:
    """One run of the demo; a context manager that removes everything at its end.

    Args:
        exports: how many exports.
        ttl_seconds: how long each lives.
        seed: the seed of all random choices.

    Attributes:
        board: what has happened.
    """

    def __init__(self, *, exports: int, ttl_seconds: int, seed: int) -> None:
        self.board = Board()
        self._exports = exports
        self._ttl_seconds = ttl_seconds
        self._seed = seed
        self._aws = EmbeddedAws(ttl_seconds=ttl_seconds)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failure: tuple[str, Exception] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="export-status-demo-")
        self._service: ServiceProcess | None = None
        self._next_look = 0.0
        self._deadline: float | None = None

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
        board, client = self.board, self._aws.client
        on_phase("starting an AWS on 127.0.0.1: moto's server, infra/data.yaml deployed")
        self._aws.start()
        on_phase(f"starting the service, `run`, against {self._aws.endpoint_url}")
        environment, directory = self._aws.service_environment(), Path(self._directory.name)
        self._service = ServiceProcess(environment, directory, board.on_line)
        self._aws.end_together(self._service.pid)
        self._service.wait_until_started()
        start = datetime.now(UTC) + timedelta(seconds=LEAD_SECONDS)
        sendings = scenario(
            exports=self._exports, ttl_seconds=self._ttl_seconds, seed=self._seed, start=start
        )
        board.planned = len(sendings)
        on_phase(f"sending {len(sendings)} messages about {self._exports} exports")
        streams, dynamodb, sqs = client("dynamodbstreams"), client("dynamodb"), client("sqs")
        table, queue_url = self._aws.deployment.table, self._aws.deployment.queue_url
        on_change, on_sent = board.changes.append, board.sent.extend
        self._run(
            "table watcher",
            lambda: observe(streams, dynamodb, table, stop=self._stop, on_change=on_change),
        )
        self._run("producer", lambda: send_all(sqs, queue_url, sendings, stop=self._stop, on_sent=on_sent))

    def is_over(self) -> bool:
        """Whether everything expected has happened, or its time is over.

        Raises:
            DemonstrationError: if a thread of the demo failed.
            ServiceProcessError: if the service ended by itself.
            AwsError: if the embedded AWS does not answer.
        """
        if self._failure is not None:
            name, error = self._failure
            raise DemonstrationError(f"the {name} failed: {type(error).__name__}") from error
        if self._service is not None:
            self._service.check()
        if time.monotonic() >= self._next_look:
            self._look_at_queues()
        board = self.board
        if len(board.sent) < board.planned:
            return False
        if self._deadline is None:
            self._deadline = time.monotonic() + self._ttl_seconds + PATIENCE_SECONDS
        all_has_happened = (
            sum(change.removed for change in board.exports.values()) >= self._exports
            and len(board.audit_entries) >= self._exports
            and board.dead_letters >= sum(each.rejected_as is not None for each in board.sent)
            and board.waiting == 0
        )
        return all_has_happened or time.monotonic() > self._deadline

    def judge(self) -> Verdict:
        """Stops the service with SIGTERM, and compares what happened with what was expected.

        Raises:
            AwsError: if the embedded AWS does not answer.
        """
        if self._service is not None:
            self.board.exit_status = self._service.stop()
        self._look_at_queues()
        self._end_threads()
        self.board.rejections = self._rejections()
        return verdict(self.board, self._ttl_seconds)

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
        self._next_look = time.monotonic() + QUEUE_LOOK_SECONDS
        self.board.waiting = self._messages_in(self._aws.deployment.queue_url)
        self.board.dead_letters = self._messages_in(self._aws.deployment.dlq_url)

    def _messages_in(self, queue_url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        asked = self._aws.client("sqs").get_queue_attributes
        return sum(map(int, call(asked, QueueUrl=queue_url, AttributeNames=names)["Attributes"].values()))

    def _rejections(self) -> Sequence[Rejection]:
        receive = self._aws.client("sqs").receive_message
        asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
        rejections: list[Rejection] = []
        while messages := call(receive, QueueUrl=self._aws.deployment.dlq_url, **asked).get("Messages"):
            for message in messages:
                attributes = message.get("MessageAttributes", {})
                texts = {name: each.get("StringValue", "") for name, each in attributes.items()}
                outcome, reason = texts.get("rejectionOutcome", ""), texts.get("rejectionReason", "")
                rejections.append(Rejection(message["Body"], outcome, reason))
        return rejections
