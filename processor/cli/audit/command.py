"""The command group `audit`: prints, replays and verifies the trail, and shows how far the stream is read."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated, Any

import typer

from processor.audit.pipeline import make_sink
from processor.audit.replay import Replay
from processor.audit.sinks.base import SinkUnavailable
from processor.audit.tail import KinesisReader
from processor.aws.errors import AwsError
from processor.cli.audit.output import EntryOutput
from processor.cli.audit.status import status
from processor.cli.audit.verify import verify
from processor.cli.durations import moment
from processor.cli.errors import EXIT_FAILED, CommandFailed, complain, flush_what_fits
from processor.cli.output import json_line, progress
from processor.cli.session import aws_errors, connect
from processor.streams.api import StreamApi
from processor.streams.shards import RETENTION_HOURS

_SINCE = "from when on: 15m, 2h, 1d ago or 2026-11-22T10:00:00Z"

audit_app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


audit_app.command()(status)
audit_app.command()(verify)


@audit_app.callback()
def audit() -> None:
    """Look at the audit trail, its readers and its archive, and replay it."""


@audit_app.command()
def tail(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="wait for more, until Ctrl-C")] = False,
    since: Annotated[
        datetime | None, typer.Option(metavar="TIME", parser=moment, help=f"{_SINCE}; all if not given")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines also on a terminal")] = False,
) -> None:
    """Print the audit entries of the stream KINESIS_EXPORT_AUDIT_STREAM, each once.

    Entries of one export come in order. An unreadable record is reported on standard error; then the exit
    status is 1.

    Example: export-status audit tail --since 1h | jq 'select(.finished | not)'
    """
    started = datetime.now(UTC)
    settings, aws = connect()
    stream = settings.required_audit_stream()
    reader = KinesisReader(aws.kinesis(), stream, since=since, wait=Event().wait, on_retry=_retry_notice())
    shown = EntryOutput(as_json=as_json or not sys.stdout.isatty())
    try:
        with aws_errors(f"the audit stream {stream} (KINESIS_EXPORT_AUDIT_STREAM)"):
            for page in reader.pages(None if follow else started):
                for record in page:
                    shown.show(record)
                sys.stdout.flush()
    except KeyboardInterrupt:
        if not follow:
            raise
        flush_what_fits(sys.stdout)
    raise typer.Exit(EXIT_FAILED if shown.bad_records else 0)


@audit_app.command()
def replay(
    *,
    since: Annotated[datetime, typer.Option(metavar="TIME", parser=moment, help=f"removals {_SINCE}")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count the entries")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON line, the last")] = False,
) -> None:
    """Emit the audit entries of removals since TIME again, to the sinks of EXPORT_AUDIT_SINKS.

    It reads the table's stream, which holds 24 hours; entries keep their auditId. Leases and checkpoints
    stay untouched, and the service may run. The sink `log` is this command's standard output.

    Example: export-status audit replay --since 2h --dry-run
    """
    started = datetime.now(UTC)
    settings, aws = connect()
    names = () if dry_run else settings.audit_sinks
    sinks = [make_sink(name, settings, aws) for name in names]
    if started - since > timedelta(hours=RETENTION_HOURS):
        typer.echo(f"the stream holds {RETENTION_HOURS:.0f} hours; what is older is gone", err=True)
    run = Replay(
        StreamApi(aws.streams()),
        sinks,
        table=settings.table,
        since=since,
        until=started,
        wait=Event().wait,
        on_retry=_retry_notice(),
    )
    counts: dict[str, Any] = {"dryRun": dry_run, "put": 0, "refused": 0, "trimmed": False}

    def so_far() -> str:  # a page may have been put in part
        return (
            f"{counts['put']} entries were counted"
            if dry_run
            else f"at least {counts['put']} entries were put"
        )

    try:
        label = None if "log" in names else "replaying"  # no bar comes between the entries
        with aws_errors(f"the stream of the table {settings.table}"), progress(label, None) as advance:
            for page in run.pages():
                counts["put"] += page.entries
                counts["refused"] += len(page.refused)
                counts["trimmed"] |= page.trimmed
                for name, refusal in page.refused:
                    problem = f"{name} refuses {refusal.entry.audit_id}: {refusal.reason}"
                    typer.echo(f"audit replay: {problem}", err=True)
                advance(counts["put"])
    except SinkUnavailable as error:
        raise CommandFailed(f"{error}; {so_far()}, run it again") from None
    except CommandFailed as failed:
        raise CommandFailed(f"{failed}; {so_far()}") from None
    except KeyboardInterrupt:
        complain(f"interrupted; {so_far()}")
        raise
    finally:  # also after an interruption
        if as_json:
            typer.echo(json_line(counts))
    if counts["trimmed"]:
        typer.echo("some records were trimmed before they could be read", err=True)
    if not as_json:
        done = f"{counts['put']} entries {'would be' if dry_run else 'were'} put again"
        typer.echo(f"{done}, {counts['refused']} of them refused by a sink", err=True)
    raise typer.Exit(EXIT_FAILED if counts["refused"] else 0)


def _retry_notice() -> Callable[[Exception], None]:
    """Reports the first error that is followed by a retry, to explain a long silence."""
    errors: list[Exception] = []

    def notice(error: Exception) -> None:
        silence = f"AWS does not answer as it should ({error})"
        if not errors:
            complain(f"{silence if isinstance(error, AwsError) else error}; trying again for a minute or two")
        errors.append(error)

    return notice
