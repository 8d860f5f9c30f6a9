"""The command `list`: the living exports of the table, to find the stuck ones before they expire."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from handlers.export import Export, Item, MalformedItem, Status
from processor.cli.durations import moment
from processor.cli.exports import attributes, living
from processor.cli.output import brief_seconds, console, json_line, plain, progress, shortened
from processor.cli.session import aws_errors, connect, retry
from processor.cli.styles import STATUS_STYLES

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SHOWN_DETAIL_CHARS = 100  # for people; --json has all
_NAMES = {"#status": "status", "#ttl": "ttl", "#error": "error"}
_PROJECTION = "requestId, #status, createdAt, updatedAt, #ttl, fileName, #error"  # without the signed URL
_HEADER = f"{'STATUS':<10}  {'SINCE':>5}  {'LEFT':>5}  REQUEST"


def list_exports(
    *,
    status: Annotated[list[Status] | None, typer.Option(help="only these; may be repeated")] = None,
    older_than: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            parser=moment,
            help="only those without a change for this long or since a timestamp",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line for each, as they come")] = False,
) -> None:
    """Show the exports in the table, those first that expire first. Expired ones are left out.

    It reads the whole table, which costs read units, and needs the permission dynamodb:Scan. Items that break
    the table's contract are counted, not shown.

    Example: export-status list --status processing --older-than 10m
    """
    settings, aws = connect()
    found: list[Export] = []
    read = foreign = 0
    with aws_errors(f"the table {settings.table}"), progress(None if as_json else "reading", None) as advance:
        for item in scanned(aws.dynamodb(), settings.table):
            read += 1
            advance(read)
            try:
                export = living(item, datetime.now(UTC))
            except MalformedItem:
                foreign += 1
                continue
            if export is None or (status and export.status not in status):
                continue
            if older_than is not None and export.updated_at > older_than:
                continue
            if as_json:
                typer.echo(json_line(attributes(export)))
            else:
                found.append(export)
    if not as_json:
        show_table(found, datetime.now(UTC))
    if foreign:
        count = "1 item that breaks" if foreign == 1 else f"{foreign} items that break"
        typer.echo(f"left out {count} the table's contract", err=True)


def scanned(client: "DynamoDBClient", table: str) -> Iterator[Item]:
    """Every item of the table, dead or alive, page by page, without its signed URL.

    Raises:
        AwsError: if the table cannot be read.
    """
    question: dict[str, Any] = {"TableName": table, "ProjectionExpression": _PROJECTION}
    while True:
        answer = retry(client.scan, ExpressionAttributeNames=_NAMES, **question)
        yield from answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        question["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def show_table(exports: list[Export], now: datetime) -> None:
    """Prints a row for each: how long it has its status, and how long it has left."""
    out = console()
    if not exports:
        typer.echo("no such exports", err=True)
        return
    out.print(Text(_HEADER, "bold"))
    for export in sorted(exports, key=lambda export: (export.ttl, export.request_id)):
        row = Text().append(f"{export.status.value:<10}", STATUS_STYLES[export.status.value])
        since = brief_seconds((now - export.updated_at).total_seconds())
        left = brief_seconds(export.ttl - now.timestamp())
        row.append(f"  {since:>5}  {left:>5}  ")
        row.append(plain(export.request_id), "bold")
        detail = export.error or export.file_name
        if detail:
            row.append(f"  {shortened(plain(detail), SHOWN_DETAIL_CHARS)}", "dim")
        out.print(row)
