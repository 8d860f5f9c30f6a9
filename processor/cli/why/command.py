"""Prints what is known of one export."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from handlers.masking import mask_urls
from processor.cli.audit.lines import row
from processor.cli.durations import moment
from processor.cli.exports import attributes
from processor.cli.get import check_request_id
from processor.cli.output import brief_seconds, console, json_line, plain, shortened
from processor.cli.session import connect, ended_like_ctrl_c, usage_error
from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.cli.why.advice import advise
from processor.cli.why.known import Known, Source
from processor.cli.why.lookup import Lookup

SHOWN_LINE_CHARS = 300  # for people; --json has all
_LABELS = {
    Source.RECORD: "record",
    Source.DEAD_LETTERS: "dead letters",
    Source.AUDIT_ENTRIES: "audit entries",
    Source.LOG_LINES: "log lines",
}


def why(
    *,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="the export's id")],
    since: Annotated[
        str, typer.Option(metavar="TIME", help="audit entries and log lines from when on: 15m, 2h, 1d ago")
    ] = "1h",
    log_group: Annotated[
        str, typer.Option(metavar="NAME", help="the service's log group; /ecs/EXPORT_SERVICE_NAME")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line")] = False,
) -> None:
    """Show what is known of one export, and in one sentence what to do.

    It reads the record and its time left, dead letters, audit entries (one shard of the audit stream) and log
    lines. A source that cannot be read is named with the reason; the others still answer.

    Example: export-status why req-1 --since 2h
    """
    check_request_id(request_id)
    now = datetime.now(UTC)
    try:
        start = moment(since, now)
    except ValueError as wrong:
        raise usage_error(f"--since {wrong}") from None
    settings, aws = connect()
    with ended_like_ctrl_c():
        group = log_group or f"/ecs/{settings.service_name}"
        known = Lookup(settings, aws, request_id, start, group, now).known()
    if as_json:
        typer.echo(json_line(fields_of(known, now)))
    else:
        show(console(), known, now)


def fields_of(known: Known, now: datetime) -> dict[str, Any]:
    """The fields of `--json`; URLs in texts are masked, and the record has `hadSignedUrl` for its URL."""
    record = known.record
    shown = None
    if record is not None:
        shown = attributes(record) | {
            "hadSignedUrl": record.signed_url is not None,
            "secondsLeft": max(0, int(record.ttl - now.timestamp())),
        }
    return {
        "requestId": mask_urls(known.request_id),
        Source.RECORD.value: shown,
        Source.DEAD_LETTERS.value: [letter.fields(now) for letter in known.letters],
        Source.AUDIT_ENTRIES.value: list(known.entries),
        Source.LOG_LINES.value: [mask_urls(line) for line in known.log_lines],
        "unread": {source.value: mask_urls(reason) for source, reason in known.unread.items()},
        "advice": mask_urls(advise(known)),
    }


def show(out: Console, known: Known, now: datetime) -> None:
    """Prints what is known, a paragraph for each source, and the advice."""
    _head(out, known, Source.RECORD, _record(known, now))
    _head(out, known, Source.DEAD_LETTERS, Text(str(len(known.letters))))
    for letter in known.letters:
        line = Text("  ").append(plain(letter.outcome), OUTCOME_STYLES.get(letter.outcome, "yellow"))
        age = letter.age_seconds(now)
        line.append(f"  {'?' if age is None else brief_seconds(age)} ago  {plain(letter.reason)}")
        trace = letter.message.log_fields().get("trace_id")
        line.append(f"  {plain(letter.message.message_id)}", "dim")
        out.print(line.append(f"  trace {plain(trace)}", "dim") if trace else line)
    _head(out, known, Source.AUDIT_ENTRIES, Text(str(len(known.entries))))
    for entry in known.entries:
        out.print(Text("  ").append_text(row(entry)))
    _head(out, known, Source.LOG_LINES, Text(str(len(known.log_lines))))
    for line_text in known.log_lines:
        out.print(Text(f"  {shortened(plain(line_text), SHOWN_LINE_CHARS)}", "dim"))
    out.print(Text("→ ", "bold").append(plain(advise(known)), "bold"))


def _head(out: Console, known: Known, source: Source, text: Text) -> None:
    label = Text(f"{_LABELS[source]:<13}  ")
    reason = known.unread.get(source)
    if reason is not None:
        text = Text(f"not read: {plain(reason)}", "yellow")
    out.print(label.append_text(text))


def _record(known: Known, now: datetime) -> Text:
    record = known.record
    if record is None:
        return Text("none")
    text = Text(record.status.value, STATUS_STYLES[record.status.value])
    text.append(f", changed {brief_seconds((now - record.updated_at).total_seconds())} ago")
    if known.dead:
        late = brief_seconds(now.timestamp() - record.ttl)
        return text.append(f", expired {late} ago: readers do not see it")
    return text.append(f", {brief_seconds(record.ttl - now.timestamp())} left")
