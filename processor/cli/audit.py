"""The command group `audit`: looks at the audit trail in the Kinesis stream, and repeats it."""

import sys
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Annotated

import typer

from processor.audit.kinesis_reader import KinesisReader
from processor.audit.kinesis_sink import KinesisSink
from processor.audit.log_sink import LogSink
from processor.audit.replay import Replay
from processor.audit.shards import RETENTION_HOURS
from processor.audit.sink import Sink, SinkUnavailable
from processor.audit.streams import MalformedPage, StreamApi
from processor.aws import Aws
from processor.cli import EXIT_FAILED, CommandFailed
from processor.cli.audit_output import EntryOutput
from processor.cli.durations import moment
from processor.cli.operator import aws_errors, connect, usage_error
from processor.cli.terminal import progress
from processor.log import stdout_lines
from processor.settings import Settings

audit_app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@audit_app.callback()
def audit() -> None:
    """Look at the audit trail, and repeat it."""


@audit_app.command()
def tail(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="wait for new entries, until Ctrl-C")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="from when on: 15m, 2h, 1d ago or 2026-11-22T10:00:00Z; all if not given"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON lines also on a terminal; they are the default elsewhere")
    ] = False,
) -> None:
    """Print the audit entries of the stream KINESIS_EXPORT_AUDIT_STREAM, each once.

    Entries of one export come in order. A record that cannot be read is named on standard error, the rest is
    printed, and the exit status is 1.

    Example: export-status audit tail --since 1h | jq 'select(.finished | not)'
    """
    started = datetime.now(UTC)
    try:
        start = None if since is None else moment(since, started)
    except ValueError as wrong:
        raise usage_error(f"--since {wrong}") from None
    settings, aws = connect()
    stream = settings.required_audit_stream()
    reader = KinesisReader(aws.kinesis(), stream, since=start, wait=Event().wait)
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
    raise typer.Exit(EXIT_FAILED if shown.bad_records else 0)


@audit_app.command()
def replay(
    *,
    since: Annotated[
        str,
        typer.Option(metavar="TIME", help="removals from when on: 15m, 2h, 1d ago or 2026-11-22T10:00:00Z"),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count the entries")] = False,
) -> None:
    """Put the audit entries of what left the table since TIME once more, to the sinks of EXPORT_AUDIT_SINKS.

    They come from the table's stream, which holds 24 hours, and keep their auditId. Leases and checkpoints
    are not touched; the service may run meanwhile. The sink `log` is this command's standard output.

    Example: export-status audit replay --since 2h --dry-run
    """
    started = datetime.now(UTC)
    try:
        start = moment(since, started)
    except ValueError as wrong:
        raise usage_error(f"--since {wrong}") from None
    settings, aws = connect()
    sinks = [] if dry_run else _sinks(settings, aws)
    if started - start > timedelta(hours=RETENTION_HOURS):
        typer.echo(f"the stream holds {RETENTION_HOURS:.0f} hours; what is older is gone", err=True)
    run = Replay(
        StreamApi(aws.streams()), sinks, table=settings.table, since=start, until=started, wait=Event().wait
    )
    entries = refused = 0
    trimmed = False
    try:
        with aws_errors(f"the stream of the table {settings.table}"), progress("replaying", None) as advance:
            for page in run.pages():
                entries += page.entries
                trimmed = trimmed or page.trimmed
                advance(entries)
                for name, refusal in page.refused:
                    refused += 1
                    problem = f"{name} refuses {refusal.entry.audit_id}: {refusal.reason}"
                    typer.echo(f"audit replay: {problem}", err=True)
    except (SinkUnavailable, MalformedPage) as error:
        problem = str(error) or "the stream's answers make no sense"
        raise CommandFailed(f"{problem}; {entries} entries were put, run it again") from None
    if trimmed:
        typer.echo("some records were trimmed before they could be read", err=True)
    done = "would be put" if dry_run else "were put"
    typer.echo(f"{entries} entries {done} again, {refused} of them refused by a sink", err=True)
    raise typer.Exit(EXIT_FAILED if refused else 0)


def _sinks(settings: Settings, aws: Aws) -> list[Sink]:
    sinks: list[Sink] = []
    for name in settings.audit_sinks:
        if name == "log":
            sinks.append(LogSink(stdout_lines(), lambda: datetime.now(UTC)))
        else:
            stream, buckets = settings.required_audit_stream(), settings.audit_buckets
            sinks.append(KinesisSink(aws.kinesis(), stream, buckets=buckets, wait=Event().wait))
    return sinks
