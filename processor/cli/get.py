"""The command `get`: one export, as a reader must see it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from threading import Event
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from handlers.export import MAX_REQUEST_ID_CHARS, Export, MalformedItem
from handlers.timestamps import format_timestamp, from_epoch_seconds
from handlers.transitions import is_terminal
from processor.aws.clients import Aws
from processor.cli.errors import CommandFailed
from processor.cli.exports import attributes, living
from processor.cli.output import brief_seconds, console, json_line, safe
from processor.cli.session import aws_errors, connect, retry, usage_error
from processor.cli.styles import STATUS_STYLES

WATCH_SECONDS = 1.0

Shown = Callable[[Export], None]


def get(
    *,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="the export's id")],
    watch: Annotated[bool, typer.Option("--watch", help="show changes until it is finished or gone")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the table's attributes, one JSON line")] = False,
    show_url: Annotated[
        bool, typer.Option("--show-url", help="show the signed URL; anyone who has it can fetch the file")
    ] = False,
) -> None:
    """Show one export. An item past its ttl counts as gone, even while DynamoDB still holds it.

    The exit status is 1 if it is gone. With --watch that means that it expired before it was finished.

    Example: export-status get req-1 --watch
    """
    check_request_id(request_id)
    settings, aws = connect()

    def read() -> Export | None:
        with aws_errors(f"the table {settings.table}"):
            return read_export(aws, settings.table, request_id)

    def show_lines(export: Export) -> None:
        fields = shown_fields(export, show_url=show_url)
        if as_json:
            typer.echo(json_line(fields))
        else:
            console().print(describe(export, fields, datetime.now(UTC)))
        sys.stdout.flush()

    export = read()
    if export is None:
        raise CommandFailed("not found or expired")
    if not watch:
        show_lines(export)
        return
    live = (
        Live(console=console(wrap=True), auto_refresh=False) if sys.stdout.isatty() and not as_json else None
    )
    with live or nullcontext():
        for latest, changed in watched(export, read):
            export = latest
            if live is not None:
                fields = shown_fields(export, show_url=show_url)
                live.update(describe(export, fields, datetime.now(UTC)), refresh=True)
            elif changed:
                show_lines(export)
    if not is_terminal(export.status):
        raise CommandFailed("gone: it expired before it was finished")


def check_request_id(request_id: str) -> None:
    """Refuses an id that no export can have.

    Raises:
        typer.Exit: with status 2, the rule on standard error.
    """
    try:
        request_id.encode()
    except UnicodeEncodeError:
        raise usage_error("REQUEST_ID must be UTF-8") from None
    if not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARS:
        raise usage_error(f"REQUEST_ID must have 1 to {MAX_REQUEST_ID_CHARS} characters")


def read_export(aws: Aws, table: str, request_id: str) -> Export | None:
    """The export that a reader may see; None if it is missing or dead.

    Raises:
        AwsError: if the table cannot be read.
        CommandFailed: if the item breaks docs/contract.md, section 1.
    """
    answer: Any = retry(
        aws.dynamodb().get_item, TableName=table, Key={"requestId": {"S": request_id}}, ConsistentRead=True
    )
    if "Item" not in answer:
        return None
    try:
        return living(answer["Item"], datetime.now(UTC))
    except MalformedItem as broken:
        raise CommandFailed(f"the stored item breaks the table's contract: {broken}") from None


def watched(export: Export, read: Callable[[], Export | None]) -> Iterator[tuple[Export, bool]]:
    """Yields the export now and each second, with whether it changed, until it is finished or gone."""
    pause = Event()
    current: Export | None = export
    changed = True
    while current is not None:
        export = current
        yield export, changed
        if is_terminal(export.status):
            return
        pause.wait(WATCH_SECONDS)
        current = read()
        changed = current != export


def shown_fields(export: Export, *, show_url: bool) -> dict[str, object]:
    """The table's attributes, as `--json` gives them: `hadSignedUrl` in place of the URL unless shown."""
    fields = attributes(export)
    if show_url and export.signed_url is not None:
        return fields | {"signedUrl": export.signed_url}
    return fields | {"hadSignedUrl": export.signed_url is not None}


def describe(export: Export, fields: dict[str, object], now: datetime) -> Text:
    """The fields for a person, one a line, with the time that is left."""
    lines: list[Text] = []
    for name, value in fields.items():
        match name:
            case "ttl":
                text = Text(f"{export.ttl} ({_end_of(export, now)})")
            case "status":
                text = Text(str(value), STATUS_STYLES[export.status.value])
            case "hadSignedUrl":
                text = Text("yes" if value else "no")
            case _:
                text = Text(
                    safe(str(value))
                )  # URLs are masked already, except for the signed URL with --show-url
        lines.append(Text(f"{name:<13}").append_text(text))
    return Text("\n").join(lines)


def _end_of(export: Export, now: datetime) -> str:
    left = f"in {brief_seconds(export.ttl - now.timestamp())}"
    try:
        return f"{format_timestamp(from_epoch_seconds(export.ttl))}, {left}"
    except ValueError:  # whole seconds, but of a year that Python cannot format
        return left
