"""The command `get`: one export, as a reader must see it."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Event
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from handlers.export import Export, MalformedItem, Status, is_dead, stored_ttl
from handlers.masking import mask_urls
from handlers.timestamps import format_timestamp, from_epoch_seconds
from handlers.transitions import is_terminal
from processor.aws import call
from processor.cli import EXIT_FAILED, CommandFailed
from processor.cli.operator import aws_errors, connect

WATCH_SECONDS = 1.0
STATUS_COLOURS = {
    Status.PENDING: "yellow",
    Status.PROCESSING: "cyan",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
}


def get(
    *,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="the export's id")],
    watch: Annotated[bool, typer.Option("--watch", help="show changes until it is finished or gone")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the table's attributes, one JSON line")] = False,
    show_url: Annotated[
        bool, typer.Option("--show-url", help="show the signed URL; whoever has it can fetch the file")
    ] = False,
) -> None:
    """Show one export. An item past its ttl counts as gone, even while DynamoDB still holds it.

    Example: export-status get req-1 --watch
    """
    settings, aws = connect()
    client = aws.dynamodb()

    def read() -> Export | None:
        with aws_errors(f"the table {settings.table}"):
            answer = call(
                client.get_item,
                TableName=settings.table,
                Key={"requestId": {"S": request_id}},
                ConsistentRead=True,
            )
        return living(answer.get("Item"))

    if not request_id:
        raise CommandFailed("REQUEST_ID must not be empty")
    found = False
    for export in watched(read) if watch else iter([read()]):
        if export is None:
            break
        found = True
        _show(export, as_json=as_json, show_url=show_url)
        if not watch or is_terminal(export.status):
            return
    typer.echo("gone: it expired" if found else "not found or expired", err=True)
    raise typer.Exit(EXIT_FAILED)


def living(item: Any) -> Export | None:
    """The export that a reader may see: None where there is no item, or a dead one.

    Raises:
        CommandFailed: if the item is not one of ours.
    """
    if item is None:
        return None
    ttl = stored_ttl(item)
    if ttl is not None and is_dead(ttl, datetime.now(UTC)):
        return None
    try:
        return Export.from_item(item)
    except MalformedItem as broken:
        raise CommandFailed(f"the stored item is not one of ours: {broken}") from None


def watched(read: Any) -> Iterator[Export | None]:
    """Yields the export at first, at each change, and None once it is gone."""
    never = Event()
    last: Export | None = None
    while True:
        export: Export | None = read()
        if export is None or export != last:
            yield export
        last = export
        never.wait(WATCH_SECONDS)


def fields_of(export: Export, *, show_url: bool) -> dict[str, object]:
    """The table's attributes, as `--json` gives them: `hadSignedUrl` in place of the URL unless shown."""
    fields: dict[str, object] = {
        "requestId": mask_urls(export.request_id),
        "status": export.status.value,
        "createdAt": format_timestamp(export.created_at),
        "updatedAt": format_timestamp(export.updated_at),
        "ttl": export.ttl,
    }
    if export.file_name is not None:
        fields["fileName"] = mask_urls(export.file_name)
    if export.error is not None:
        fields["error"] = mask_urls(export.error)
    if show_url and export.signed_url is not None:
        fields["signedUrl"] = export.signed_url
    else:
        fields["hadSignedUrl"] = export.signed_url is not None
    return fields


def _show(export: Export, *, as_json: bool, show_url: bool) -> None:
    fields = fields_of(export, show_url=show_url)
    if as_json:
        print(json.dumps(fields, ensure_ascii=False), flush=True)
        return
    left = export.ttl - datetime.now(UTC).timestamp()
    fields["ttl"] = f"{export.ttl} ({format_timestamp(from_epoch_seconds(export.ttl))}, in {left:.0f} s)"
    console = Console(soft_wrap=True, highlight=False)
    for name, value in fields.items():
        text = str(value) if not isinstance(value, bool) else ("yes" if value else "no")
        style = STATUS_COLOURS[export.status] if name == "status" else ""
        console.print(Text(f"{name:<13}"), Text(text, style=style))
    sys.stdout.flush()
