"""The command `publish`: sends events from JSON lines to the event queue."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from handlers.envelopes import InvalidEvent
from handlers.events import ExportEvent, decode
from processor.cli.errors import CommandFailed, complain
from processor.cli.event_lines import EventLine, read_event_line
from processor.cli.output import json_line, prepare_outputs, progress
from processor.cli.sending import Outgoing, batches, send_batch
from processor.cli.session import aws_errors, connect, usage_error
from processor.settings import load_settings

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

SHOWN_BAD_LINES = 10


@dataclass(frozen=True, slots=True)
class Line:
    """A checked line of the file."""

    number: int
    line: EventLine
    event: ExportEvent


def publish(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines; - reads standard input")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only check the lines; needs no AWS and no settings")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line")] = False,
) -> None:
    """Send events from JSON lines to the event queue, in batches.

    All lines are checked first: one bad line, and nothing is sent. A line is an event, or an object with
    `event` (or `body`, its text), `attributes`, `groupId` and `traceHeader`; `dlq save` writes such lines.

    On a FIFO queue an export's events form a group, and a line is known by its eventId and body, so that SQS
    drops what is published twice within five minutes.

    Example: export-status publish events.jsonl
    """
    if dry_run:
        prepare_outputs()
        _check_only(file, as_json=as_json)
        return
    settings, aws = connect()
    url = settings.required_queue_url()
    fifo = url.endswith(".fifo")
    lines = read_lines(file, fifo=fifo)
    sent = 0
    try:
        with progress("publishing", len(lines)) as advance:
            for accepted in _send(aws.sqs(), url, lines, fifo=fifo):
                sent += accepted
                advance(sent)
    except CommandFailed as failed:
        raise CommandFailed(f"{failed}; {sent} of {len(lines)} events were sent") from None
    except KeyboardInterrupt:
        complain(f"interrupted; {sent} of {len(lines)} events were sent")
        raise
    finally:  # also after an interruption
        if as_json:
            typer.echo(json_line({"dryRun": False, "events": len(lines), "sent": sent}))
    if not as_json:
        typer.echo(f"published {sent} event{'' if sent == 1 else 's'}")


def _check_only(file: str, *, as_json: bool) -> None:
    url = load_settings().queue_url
    lines = read_lines(file, fifo=url is not None and url.endswith(".fifo"))
    if as_json:
        typer.echo(json_line({"dryRun": True, "events": len(lines), "sent": 0}))
    else:
        typer.echo(f"checked {len(lines)} event{'' if len(lines) == 1 else 's'}, nothing was sent")


def _send(client: "SQSClient", url: str, lines: Sequence[Line], *, fifo: bool) -> Iterator[int]:
    """Sends the lines, and yields for each batch how many the queue accepted.

    Raises:
        CommandFailed: at the first event that the queue does not accept.
    """
    done = 0
    for batch in batches([_outgoing(line, fifo=fifo) for line in lines]):
        with aws_errors("the event queue"):
            answers = send_batch(client, url, batch)
        yield len(answers.done)
        if answers.refused:
            index, code = min(answers.refused.items())
            raise CommandFailed(f"line {lines[done + index].number}: the event queue refuses it ({code})")
        if len(answers.done) < len(batch):
            raise CommandFailed("the event queue keeps failing on an event")
        done += len(batch)


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
            line = read_event_line(raw)
            lines.append(Line(number, line, decode(line.body, now=now, fifo=fifo)))
        except InvalidEvent as broken:
            bad.append(f"line {number}: {broken}")
    if bad:
        for complaint in bad[:SHOWN_BAD_LINES]:
            complain(complaint)
        count = "1 bad line" if len(bad) == 1 else f"{len(bad)} bad lines"
        raise usage_error(f"{count}, nothing was sent")
    return lines


def _outgoing(line: Line, *, fifo: bool) -> Outgoing:
    message = line.line
    outgoing = Outgoing(
        message.body,
        group_id=message.group_id,
        attributes=message.attributes,
        trace_header=message.trace_header,
    )
    if not fifo:
        return outgoing
    return replace(
        outgoing,
        group_id=message.group_id or _sqs_token(line.event.request_id),
        deduplication_id=_sqs_token(f"{line.event.event_id or line.number}\n{message.body}"),
    )


def _sqs_token(text: str) -> str:
    """A hash as group or deduplication id: SQS allows 128 characters of a small alphabet."""
    return hashlib.sha256(text.encode()).hexdigest()
