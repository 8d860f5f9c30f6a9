"""The command `audit verify`: compares an archive of entries with DynamoDB's own count of deletions."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from handlers.timestamps import format_timestamp
from processor.audit.archive import Archive, Day, Shard, files_of
from processor.audit.reconciliation import deleted_by_day
from processor.cli.errors import EXIT_FAILED
from processor.cli.output import plain
from processor.cli.session import aws_errors, connect, usage_error

_HEADER = f"{'DAY':<10}  {'ENTRIES':>10}  {'BY TTL':>10}  {'DYNAMODB':>10}  {'MISSING':>10}"


def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="files or folders, plain or gzip")],
    *,
    since: Annotated[str | None, typer.Option(metavar="DAY", help="first day, as 2026-11-22")] = None,
    deleted: Annotated[Path | None, typer.Option(metavar="FILE", help="lines `DAY COUNT`")] = None,
) -> None:
    """Look through an archive of audit entries for what is missing, repeated or in a gap.

    Each auditId counts once, on the day of its deletedAt (UTC). CloudWatch gives DynamoDB's own counts, if
    --deleted does not. A day that is not over is not compared. Exit status 1 if entries are missing or
    something cannot be read. Gaps are hints: a quiet table has them.

    Example: export-status audit verify archive/ --since 2026-11-01
    """
    today = datetime.now(UTC).date()
    try:
        first = None if since is None else date.fromisoformat(since)
    except ValueError:
        raise usage_error("--since must be a day such as 2026-11-22") from None
    counts = None if deleted is None else _counts(deleted)
    archive, problems = Archive(first), 0
    for path in (file for each in paths for file in files_of(each)):
        for problem in archive.read(path):
            problems += 1
            typer.echo(f"audit verify: {plain(str(path))}: {problem}", err=True)
    if counts is None:
        counts = _from_cloudwatch(first or archive.first_day or today)
    days = archive.days({day: count for day, count in counts.items() if day < today})
    _show(days, archive.shards)
    missing = sum(day.missing for day in days)
    if missing:
        worst = ", ".join(f"{day.missing} on {day.day}" for day in days if day.missing)
        typer.echo(f"audit verify: {missing} entries are missing: {worst}", err=True)
    raise typer.Exit(EXIT_FAILED if missing or problems else 0)


def _from_cloudwatch(first: date) -> Mapping[date, int]:
    settings, aws = connect()
    with aws_errors("CloudWatch"):
        return deleted_by_day(aws.other("cloudwatch"), settings.table, first, datetime.now(UTC))


def _counts(path: Path) -> Mapping[date, int]:
    """DynamoDB's counts of a file.

    Raises:
        typer.Exit: if it has another form; one line names the rule.
    """
    counts: Counter[date] = Counter()
    try:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            day, count = line.replace(",", " ").split()
            counts[date.fromisoformat(day)] += int(count)
    except (OSError, ValueError):
        raise usage_error("--deleted must name a file of lines such as `2026-11-22 1234`") from None
    return counts


def _show(days: list[Day], shards: Mapping[str | None, Shard]) -> None:
    typer.echo(_HEADER)
    for day in days:
        deleted = "?" if day.deleted is None else day.deleted
        typer.echo(f"{day.day}  {day.entries:>10}  {day.expired:>10}  {deleted:>10}  {day.missing:>10}")
    for shard_id, shard in shards.items():
        name = plain(shard_id or "entries without a shard")
        if shard.repeats:
            typer.echo(f"{name}: {shard.repeats} repeats of {shard.entries} entries")
        for begin, end in shard.gaps():
            typer.echo(f"{name}: no entry between {format_timestamp(begin)} and {format_timestamp(end)}")
