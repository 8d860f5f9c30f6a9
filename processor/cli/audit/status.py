"""The command `audit status`: the reader and the lag of each shard, and whether a day has all its entries."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from processor.audit.reconciliation import Reconciliation, last_day
from processor.aws.clients import Aws
from processor.aws.errors import AwsError, NotFound
from processor.cli.output import brief_seconds, console, json_line, plain
from processor.cli.session import aws_errors, connect
from processor.settings import Settings
from processor.streams.api import StreamApi
from processor.streams.discovery import belongs_to
from processor.streams.fleet import ShardView, unread_shards
from processor.streams.leases.table import LeaseTable

_HEADER = f"{'LAG':>5}  {'TRIMMED IN':>10}  SHARD, READER"
_URGENT_HOURS = 12.0


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, the day's counts last")] = False,
) -> None:
    """Show each shard that is not read to its end: who reads it, how late it is, hours until it is trimmed.

    Shards that no task reads come first. The last line compares the entries of the last 24 hours with the
    items that DynamoDB says it deleted by TTL: a signal and no proof.

    Example: export-status audit status
    """
    settings, aws = connect()
    now = datetime.now(UTC)
    views = _shards(settings, aws, now)
    day, problem = None, None
    try:
        day = last_day(aws.other("cloudwatch"), settings.table, now, settings.service_name)
    except AwsError as error:
        problem = str(error)
    if as_json:
        for view in views:
            typer.echo(json_line(_fields(view)))
        typer.echo(json_line({"day": None if day is None else _counts(day), "problem": problem}))
        return
    _show(views)
    if day is None:
        typer.echo(f"last 24 hours: CloudWatch does not give the counts ({problem})")
        return
    counts = _counts(day)
    missing = f"; {counts['missing']} entries may be missing" if day.is_suspicious else ""
    typer.echo(
        f"last 24 hours: {counts['expiredEntries']} entries and {counts['quarantined']} quarantined,"
        f" DynamoDB deleted {counts['deletedByTtl']} items by TTL{missing}"
    )


def _shards(settings: Settings, aws: Aws, now: datetime) -> list[ShardView]:
    with aws_errors(f"the leases table {settings.leases_table}"):
        leases = LeaseTable(aws.leases(), settings.leases_table).scan()
        rows = [lease for lease in leases if belongs_to(lease, settings.table)]
    listings = []
    with aws_errors(f"the stream of the table {settings.table}"):
        api = StreamApi(aws.streams())
        arns, _ = api.list_streams(settings.table)
        for arn in arns:
            with suppress(NotFound):  # disabled more than a day ago
                listings.append(api.describe(arn))
        if not arns and not rows:
            raise NotFound("ListStreams", "no stream")
    return unread_shards(rows, listings, now.timestamp(), settings.lease_failover_seconds)


def _fields(view: ShardView) -> dict[str, object]:
    lag, left = view.lag_seconds, view.hours_to_trim
    return {
        "shardId": view.shard_id,
        "streamArn": view.stream_arn,
        "reader": view.reader,
        "lagSeconds": None if lag is None else round(lag),
        "hoursToTrim": None if left is None else round(left, 2),
        "waitsFor": view.waits_for,
        "hasRow": view.has_row,
    }


def _counts(day: Reconciliation) -> dict[str, object]:
    return {
        "expiredEntries": round(day.expired_entries),
        "quarantined": round(day.quarantined),
        "deletedByTtl": round(day.deleted_by_ttl),
        "missing": round(day.missing),
        "suspicious": day.is_suspicious,
    }


def _show(views: list[ShardView]) -> None:
    out = console()
    if not views:
        typer.echo("every shard is read to its end")
        return
    out.print(Text(_HEADER, "bold"))
    for view in views:
        lag = "?" if view.lag_seconds is None else brief_seconds(view.lag_seconds)
        left = "?" if view.hours_to_trim is None else f"{view.hours_to_trim:.1f} h"
        is_urgent = view.hours_to_trim is not None and view.hours_to_trim <= _URGENT_HOURS
        row = Text(f"{lag:>5}  {left:>10}  ", "red" if is_urgent else "")
        row.append(plain(view.shard_id), "bold")
        if view.reader is not None:
            row.append(f"  {plain(view.reader)}", "dim")
        elif view.waits_for is not None:
            row.append(f"  waits for its parent {plain(view.waits_for)}", "dim")
        else:
            row.append("  no task reads it", "red")
        out.print(row)
