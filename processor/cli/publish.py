"""The command `publish`: sends events from JSON lines to the event queue."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from processor.cli.errors import CommandFailed, complain
from processor.cli.event_lines import read_event_line
from processor.cli.output import json_line, prepare_outputs, progress
from processor.cli.sending import Outgoing, send
from processor.cli.session import aws_errors, connect, usage_error
from processor.cli.signals import interrupt_on_signals
from processor.settings import load_settings

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

SHOWN_BAD_LINES = 10

Line = tuple[int, Outgoing]
"""A checked line of the file: its number, and the message."""


def publish(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines; - reads standard input")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only check; needs no AWS, no settings")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Send events from JSON lines to the event queue, in batches.

    All lines are checked first: one bad line, and nothing is sent. A line is an event, or an object with
    `event` (or `body`, its text), `attributes`, `groupId` and `traceHeader`; `dlq save` writes such lines.

    On a FIFO queue an export's events form a group, and a line is known by its eventId and body, so that SQS
    drops what is published twice within five minutes.

    Example: export-status publish events.jsonl
    """
    counts = {"dryRun": dry_run, "events": 0, "sent": 0}
    interrupt_on_signals()
    if dry_run:
        prepare_outputs()
        lines = read_lines(file, fifo=(load_settings().queue_url or "").endswith(".fifo"))
        counts["events"] = len(lines)
        done = f"checked {len(lines)} event{'' if len(lines) == 1 else 's'}, nothing was sent"
        typer.echo(json_line(counts) if as_json else done)
        return
    settings, aws = connect()
    url = settings.required_queue_url()
    lines = read_lines(file, fifo=url.endswith(".fifo"))
    counts["events"] = len(lines)
    try:
        _send(aws.sqs(), url, lines, counts)
    except CommandFailed as failed:
        raise CommandFailed(f"{failed}; {counts['sent']} of {len(lines)} events were sent") from None
    except KeyboardInterrupt:
        complain(f"interrupted; {counts['sent']} of {len(lines)} events were sent")
        raise
    finally:  # also after an interruption
        if as_json:
            typer.echo(json_line(counts))
    if not as_json:
        typer.echo(f"published {counts['sent']} event{'' if counts['sent'] == 1 else 's'}")


def _send(client: "SQSClient", url: str, lines: Sequence[Line], counts: dict[str, int]) -> None:
    """Sends the lines, and counts what the queue accepts.

    Raises:
        CommandFailed: at the first event that the queue does not accept.
    """
    events = [message for _, message in lines]
    with progress("publishing", len(lines)) as advance, aws_errors("the event queue"):
        for run, answers in send(client, url, events):
            counts["sent"] += len(answers.done)
            advance(counts["sent"])
            for index, code in sorted(answers.refused.items()):
                number, _ = lines[run.start + index]
                raise CommandFailed(f"line {number}: the event queue refuses it ({code})")
            if answers.left:
                raise CommandFailed("the event queue keeps failing on an event")


def read_lines(file: str, *, fifo: bool) -> list[Line]:
    """Reads and checks every line.

    Args:
        file: a path, or `-` for standard input.
        fifo: whether the queue is FIFO; then an event must carry `createdAt`.

    Raises:
        typer.Exit: with status 2 and the reasons on standard error, if the file or a line is wrong.
    """
    if file == "-" and sys.stdin is None:
        raise usage_error("- must not be closed: it is standard input")
    try:
        if file == "-":
            return _check(sys.stdin.buffer, fifo=fifo)
        with open(file, "rb") as stream:
            return _check(stream, fifo=fifo)
    except OSError as error:
        raise usage_error(f"{file} cannot be read: {error.strerror}") from None


def _check(stream: BinaryIO, *, fifo: bool) -> list[Line]:
    lines: list[Line] = []
    bad: list[str] = []
    now = datetime.now(UTC)
    for number, raw in enumerate(stream, start=1):
        if not raw.strip():
            continue
        try:
            message = read_event_line(raw)
            event = decode(message.body, now=now, fifo=fifo)
        except InvalidEvent as broken:
            bad.append(f"line {number}: {broken}")
            continue
        if fifo:
            group_id = message.group_id or _sqs_token(event.request_id)
            known_by = _sqs_token(f"{event.event_id or number}\n{message.body}")
            message = replace(message, group_id=group_id, deduplication_id=known_by)
        lines.append((number, message))
    if bad:
        for complaint in bad[:SHOWN_BAD_LINES]:
            complain(complaint)
        count = "1 bad line" if len(bad) == 1 else f"{len(bad)} bad lines"
        raise usage_error(f"{count}, nothing was sent")
    return lines


def _sqs_token(text: str) -> str:
    """A hash as group or deduplication id: SQS allows 128 characters of a small alphabet."""
    return hashlib.sha256(text.encode()).hexdigest()
