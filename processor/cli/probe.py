"""The command `probe`: sends one export through all its steps, and times each."""

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated, Any

import typer

from handlers.export import Status
from handlers.timestamps import format_timestamp
from handlers.transitions import is_terminal
from processor.aws.clients import Aws
from processor.cli.durations import duration
from processor.cli.errors import EXIT_FAILED, CommandFailed, complain
from processor.cli.get import read_export
from processor.cli.output import json_line
from processor.cli.sending import Outgoing, send
from processor.cli.session import aws_errors, connect, usage_error
from processor.cli.signals import interrupt_on_signals
from processor.observability.metrics import NAMESPACE, PROBE_PREFIX
from processor.settings import Settings

STEPS = (Status.PENDING, Status.PROCESSING, Status.COMPLETED)
PROBE_METRICS = frozenset({"ProbeFailed", "ProbeSeconds"})
READ_SECONDS = 0.1  # between two reads of the item
_DEFAULT_WITHIN: Any = "5s"  # the parser reads it


def probe(
    *,
    within: Annotated[
        timedelta, typer.Option(metavar="TIME", parser=duration, help="the longest that all steps may take")
    ] = _DEFAULT_WITHIN,
    as_json: Annotated[bool, typer.Option("--json", help="only the metrics line")] = False,
) -> None:
    """Send one export through all its steps, read it back, and show how long each step took.

    Its requestId begins with `probe-`, and it expires like any other export. The last line is for CloudWatch
    (embedded metric format). The exit status is 1 if the steps took longer than --within, or a step failed;
    the probe then still ends its export, so that none stays unfinished.

    Example: export-status probe --within 5s
    """
    settings, aws = connect()
    settings.required_queue_url()
    limit = within.total_seconds()
    if not 0 < limit < settings.ttl_seconds:
        raise usage_error(f"--within must be above 0 and shorter than the TTL of {settings.ttl_seconds} s")
    interrupt_on_signals()
    run = Probe(settings, aws, limit)
    problem = ""
    try:
        for status, seconds in run.steps():
            if not as_json:
                typer.echo(f"{status.value:<10}  {seconds:.2f} s")
                sys.stdout.flush()
    except CommandFailed as failed:
        problem = str(failed)
    finally:
        try:
            run.end()
        except CommandFailed as failed:
            first = "" if problem in {"", str(failed)} else f"{problem}; "
            problem = f"{first}{run.request_id} may stay unfinished: {failed}"
        typer.echo(json_line(run.metrics_line(datetime.now(UTC))))
    if problem:
        complain(problem)
        raise typer.Exit(EXIT_FAILED)


@dataclass(slots=True)
class Probe:
    """One export on its way through all steps.

    Args:
        settings: with the event queue's URL.
        aws: the clients.
        limit_seconds: the longest that all steps may take.
        monotonic: seconds, from any start.
        wait: waits between two reads.

    Attributes:
        request_id: the export's id.
        seconds: how long each finished step took, from the event to the item.
    """

    settings: Settings
    aws: Aws
    limit_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float], object] = field(default_factory=lambda: Event().wait)
    request_id: str = field(default_factory=lambda: f"{PROBE_PREFIX}{uuid.uuid4().hex}")
    seconds: dict[Status, float] = field(default_factory=dict)
    _created: datetime = field(default_factory=lambda: datetime.now(UTC))
    _sent: dict[Status, str] = field(default_factory=dict)

    def steps(self) -> Iterator[tuple[Status, float]]:
        """Sends the event of each step, and waits for the item to have its status.

        Yields:
            Each finished step, with its seconds.

        Raises:
            CommandFailed: if a step fails, or the time is over.
        """
        began = self.monotonic()
        for status in STEPS:
            step_began = self.monotonic()
            self._send(status)
            while not self._has(status):
                if self.monotonic() - began >= self.limit_seconds:
                    raise CommandFailed(
                        f"{self.request_id} is not {status.value} after {self.limit_seconds:g} s"
                    )
                self.wait(READ_SECONDS)
            self.seconds[status] = round(self.monotonic() - step_began, 3)
            yield status, self.seconds[status]
        if sum(self.seconds.values()) > self.limit_seconds:
            raise CommandFailed(f"the steps took longer than {self.limit_seconds:g} s")

    def end(self) -> None:
        """Ends the export where its steps did not.

        If `completed` was sent, the same event is sent again, which changes nothing where the first one
        arrived. Otherwise it ends as `failed`. Where nothing was sent there is nothing to end.

        Raises:
            CommandFailed: if the queue does not accept the event.
        """
        if not self._sent or Status.COMPLETED in self.seconds:
            return
        self._send(Status.COMPLETED if Status.COMPLETED in self._sent else Status.FAILED)

    def metrics_line(self, now: datetime) -> Mapping[str, Any]:
        """The result as a line in CloudWatch's embedded metric format.

        Args:
            now: our clock.
        """
        total = round(sum(self.seconds.values()), 3)
        passed = len(self.seconds) == len(STEPS) and total <= self.limit_seconds
        metrics = [{"Name": "ProbeFailed", "Unit": "Count"}, {"Name": "ProbeSeconds", "Unit": "Seconds"}]
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [["Service"]],
            "Metrics": metrics if passed else metrics[:1],
        }
        return {
            "timestamp": format_timestamp(now),
            "event": "probe",
            "requestId": self.request_id,
            "_aws": {"Timestamp": int(now.timestamp() * 1_000), "CloudWatchMetrics": [directive]},
            "Service": self.settings.service_name,
            "ProbeFailed": 0 if passed else 1,
            **({"ProbeSeconds": total} if passed else {}),
            "steps": {status.value: self.seconds.get(status) for status in STEPS},
        }

    def _send(self, status: Status) -> None:
        body = self._sent.setdefault(status, self._body(status))
        url = self.settings.required_queue_url()
        fifo = url.endswith(".fifo")
        event = Outgoing(
            body,
            group_id=self.request_id if fifo else None,
            deduplication_id=f"{status.value}-{uuid.uuid4().hex}" if fifo else None,
        )
        with aws_errors("the event queue"):
            [(_, answer)] = send(self.aws.sqs(), url, [event])
        if not answer.done:
            code = next(iter(answer.refused.values()), "no answer")
            raise CommandFailed(f"the event queue does not accept the event ({code})")

    def _body(self, status: Status) -> str:
        event = {
            "eventId": f"{self.request_id}-{status.value}",
            "requestId": self.request_id,
            "status": status.value,
            "occurredAt": format_timestamp(datetime.now(UTC)),
            "createdAt": format_timestamp(self._created),
        }
        if status is Status.FAILED:
            event["error"] = "the probe ended early"
        return json.dumps(event)

    def _has(self, status: Status) -> bool:
        export = read_export(self.aws, self.settings.table, self.request_id)
        if export is None:
            return False
        if is_terminal(export.status) and not is_terminal(status):
            raise CommandFailed(f"{self.request_id} is {export.status.value} too early")
        return export.status is status
