"""The command `get`: one export, as a reader must see it."""

import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from threading import Event
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from handlers.export import MAX_REQUEST_ID_CHARS, Export, Item, MalformedItem
from handlers.timestamps import format_timestamp, from_epoch_seconds
from handlers.transitions import is_terminal
from processor.aws.clients import Aws
from processor.cli.errors import CommandFailed
from processor.cli.exports import attributes, living
from processor.cli.output import brief_seconds, console, json_line, safe
from processor.cli.session import aws_errors, connect, retry
from processor.cli.styles import STATUS_STYLES

WATCH_SECONDS = 1.0


def _checked_id(request_id: str) -> str:
    try:
        request_id.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    if not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARS:
        raise ValueError(f"must have 1 to {MAX_REQUEST_ID_CHARS} characters")
    return request_id


RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID", parser=_checked_id, help="the export's id")]
"""An argument that refuses what no export can have as its id."""


def get(
    *,
    request_id: RequestId,
    watch: Annotated[bool, typer.Option("--watch", help="show changes until it is finished or gone")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the table's attributes, one JSON line")] = False,
    show_url: Annotated[bool, typer.Option("--show-url", help="show the signed URL, a credential")] = False,
) -> None:
    """Show one export. An item past its ttl counts as gone, even while DynamoDB still holds it.

    The exit status is 1 if it is gone. With --watch that means that it expired before it was finished.

    Example: export-status get req-1 --watch
    """
    settings, aws = connect()
    export = read_export(aws, settings.table, request_id)
    if export is None:
        raise CommandFailed("not found or expired")
    is_live = watch and not as_json and sys.stdout.isatty()
    shown, pause = None, Event()
    with Live(console=console(wrap=True), auto_refresh=False) if is_live else nullcontext() as live:
        while True:
            fields = shown_fields(export, show_url=show_url)
            if live is not None:
                live.update(describe(export, fields, datetime.now(UTC)), refresh=True)
            elif export != shown:
                if as_json:
                    typer.echo(json_line(fields))
                else:
                    console().print(describe(export, fields, datetime.now(UTC)))
                sys.stdout.flush()
            shown = export
            if not watch or is_terminal(export.status):
                return
            pause.wait(WATCH_SECONDS)
            export = read_export(aws, settings.table, request_id)
            if export is None:
                raise CommandFailed("gone: it expired before it was finished")


def read_export(aws: Aws, table: str, request_id: str) -> Export | None:
    """The export that a reader may see; None if it is missing or dead.

    Raises:
        CommandFailed: if the table cannot be read, or the item breaks docs/contract.md, section 1.
    """
    item = read_item(aws, table, request_id)
    try:
        return None if item is None else living(item, datetime.now(UTC))
    except MalformedItem as broken:
        raise CommandFailed(f"the stored item breaks the table's contract: {broken}") from None


def read_item(aws: Aws, table: str, request_id: str) -> Item | None:
    """The item, dead or alive; None if there is none.

    Raises:
        CommandFailed: if the table cannot be read.
    """
    key, read = {"requestId": {"S": request_id}}, aws.dynamodb().get_item
    with aws_errors(f"the table {table}"):
        item: Item | None = retry(read, TableName=table, Key=key, ConsistentRead=True).get("Item")
    return item


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
                text = Text(safe(str(value)))  # URLs are masked already, but for --show-url
        lines.append(Text(f"{name:<13}").append_text(text))
    return Text("\n").join(lines)


def _end_of(export: Export, now: datetime) -> str:
    left = f"in {brief_seconds(export.ttl - now.timestamp())}"
    try:
        return f"{format_timestamp(from_epoch_seconds(export.ttl))}, {left}"
    except ValueError:  # whole seconds, but of a year that Python cannot format
        return left
