"""The command `publish`: sends events from JSON lines to the event queue."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handlers.envelopes import InvalidEvent
from handlers.events import ExportEvent, decode
from processor.aws import AwsError, Transient, call
from processor.cli import EXIT_USAGE, CommandFailed
from processor.cli.operator import aws_errors, connect

MAX_BATCH = 10  # entries of SendMessageBatch ("Amazon SQS message quotas")
MAX_BATCH_BYTES = 256 * 1_024
_TRIES = 5


def publish(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON lines; - reads standard input")],
) -> None:
    """Send events from JSON lines to the event queue, in batches.

    All lines are checked first: one bad line, and nothing is sent.

    Example: echo '{"requestId":"a","status":"pending","occurredAt":"…"}' | export-status publish -
    """
    settings, aws = connect()
    url = settings.required_queue_url()
    lines = read_lines(file, fifo=url.endswith(".fifo"))
    client = aws.sqs()
    shown = (
        Progress(
            TextColumn("publishing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        if sys.stderr.isatty()
        else None
    )
    sent = 0
    with shown or nullcontext(), aws_errors("the event queue"):
        task = shown.add_task("publishing", total=len(lines)) if shown else None
        for batch in _batches(lines, fifo=url.endswith(".fifo")):
            try:
                _send(client, url, batch)
            except AwsError:
                typer.echo(f"{sent} of {len(lines)} events were sent before this:", err=True)
                raise
            sent += len(batch)
            if shown and task is not None:
                shown.update(task, completed=sent)
    typer.echo(f"published {sent} event{'' if sent == 1 else 's'}")


def read_lines(file: str, *, fifo: bool) -> list[tuple[str, ExportEvent]]:
    """Reads and checks every line.

    Raises:
        typer.Exit: with status 2, after one line on standard error for each of the first bad lines.
        CommandFailed: if the file cannot be read.
    """
    if file == "-":
        return _check(sys.stdin.buffer, fifo=fifo)
    try:
        with open(file, "rb") as stream:
            return _check(stream, fifo=fifo)
    except OSError as error:
        typer.echo(f"export-status: {file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(EXIT_USAGE) from None


def _check(stream: BinaryIO, *, fifo: bool) -> list[tuple[str, ExportEvent]]:
    events: list[tuple[str, ExportEvent]] = []
    bad: list[str] = []
    now = datetime.now(UTC)
    for number, raw in enumerate(stream, start=1):
        if not raw.strip():
            continue
        if len(raw) > MAX_BATCH_BYTES:
            bad.append(f"line {number}: must fit into a message of 256 KiB")
            continue
        try:
            line = raw.decode().strip()
            events.append((line, decode(line, now=now, fifo=fifo)))
        except UnicodeDecodeError:
            bad.append(f"line {number}: must be UTF-8")
        except InvalidEvent as broken:
            bad.append(f"line {number}: {broken}")
    if bad:
        for complaint in bad[:10]:
            typer.echo(f"export-status: {complaint}", err=True)
        typer.echo(f"export-status: {len(bad)} bad line(s), nothing was sent", err=True)
        raise typer.Exit(EXIT_USAGE)
    return events


def _batches(lines: Iterable[tuple[str, ExportEvent]], *, fifo: bool) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for number, (line, event) in enumerate(lines):
        length = len(line.encode())
        if batch and (len(batch) == MAX_BATCH or size + length > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        entry: dict[str, Any] = {"Id": str(len(batch)), "MessageBody": line}
        if fifo:
            entry["MessageGroupId"] = _sqs_token(event.request_id)
            entry["MessageDeduplicationId"] = _sqs_token(f"{event.event_id or number}\n{line}")
        batch.append(entry)
        size += length
    if batch:
        yield batch


def _send(client: Any, url: str, batch: list[dict[str, Any]]) -> None:
    """Sends a batch, and again the entries that SQS did not take for its own reasons."""
    left = batch
    for _ in range(_TRIES):
        answer = call(client.send_message_batch, QueueUrl=url, Entries=left)
        failed = {failure["Id"]: failure for failure in answer.get("Failed", [])}
        for failure in failed.values():
            if failure.get("SenderFault"):
                raise CommandFailed(f"the event queue refuses an event ({failure.get('Code')})")
        left = [entry for entry in left if entry["Id"] in failed]
        if not left:
            return
    raise Transient("SendMessageBatch", "Failed")


def _sqs_token(text: str) -> str:
    """A group or deduplication id: 128 characters at most, of few kinds, so a hash stands for the text."""
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()
