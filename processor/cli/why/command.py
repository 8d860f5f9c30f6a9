"""Prints what is known of one export."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from processor.cli.audit.output import row
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.durations import moment
from processor.cli.exports import attributes
from processor.cli.get import RequestId
from processor.cli.output import brief_seconds, console, json_line, masked, plain, shortened
from processor.cli.session import connect
from processor.cli.signals import interrupt_on_signals
from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.cli.why.advice import advise
from processor.cli.why.lookup import Known, Lookup, Source

SHOWN_LINE_CHARS = 300  # for people; --json has all
_DEFAULT_SINCE: Any = "1h"  # the parser reads it


def why(
    *,
    request_id: RequestId,
    since: Annotated[
        datetime,
        typer.Option(
            metavar="TIME", parser=moment, help="audit entries and log lines since: 15m, 2h, 1d ago"
        ),
    ] = _DEFAULT_SINCE,
    log_group: Annotated[str, typer.Option(metavar="NAME", help="else /ecs/EXPORT_SERVICE_NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line")] = False,
) -> None:
    """Show what is known of one export, and in one sentence what to do.

    It reads the record and its time left, dead letters, audit entries (one shard of the audit stream) and log
    lines. A source that cannot be read is named with the reason; the others still answer.

    Example: export-status why req-1 --since 2h
    """
    now = datetime.now(UTC)
    settings, aws = connect()
    interrupt_on_signals()
    group = log_group or f"/ecs/{settings.service_name}"
    known = Lookup(settings, aws, request_id, since, group, now).known()
    if as_json:
        typer.echo(json_line(fields_of(known, now)))
    else:
        show(console(), known, now)


def fields_of(known: Known, now: datetime) -> dict[str, Any]:
    """The fields of `--json`; URLs in texts are masked, and the record has `hadSignedUrl` for its URL."""
    record, shown = known.record, None
    if record is not None:
        left = max(0, int(record.ttl - now.timestamp()))
        shown = attributes(record) | {"hadSignedUrl": record.signed_url is not None, "secondsLeft": left}
    fields: dict[str, Any] = {
        "requestId": known.request_id,
        "record": shown,
        "deadLetters": [letter.fields(now) for letter in known.letters],
        "auditEntries": list(known.entries),
        "logLines": list(known.log_lines),
        "unread": {source: str(reason) for source, reason in known.unread.items()},
        "advice": advise(known),
    }
    return {name: masked(value) for name, value in fields.items()}


def show(out: Console, known: Known, now: datetime) -> None:
    """Prints what is known, a paragraph for each source, and the advice."""
    paragraphs: Mapping[Source, tuple[Text, Sequence[Text]]] = {
        "record": (_record(known, now), ()),
        "deadLetters": _counted([_letter(letter, now) for letter in known.letters]),
        "auditEntries": _counted([row(entry) for entry in known.entries]),
        "logLines": _counted(
            [Text(shortened(plain(line), SHOWN_LINE_CHARS), "dim") for line in known.log_lines]
        ),
    }
    for source, (found, lines) in paragraphs.items():
        reason = known.unread.get(source)
        head = found if reason is None else Text(f"not read: {plain(str(reason))}", "yellow")
        label = re.sub("[A-Z]", lambda capital: f" {capital[0].lower()}", source)
        out.print(Text(f"{label:<13}  ").append_text(head))
        for line in lines:
            out.print(Text("  ").append_text(line))
    out.print(Text("→ ", "bold").append(plain(advise(known)), "bold"))


def _counted(lines: Sequence[Text]) -> tuple[Text, Sequence[Text]]:
    return Text(str(len(lines))), lines


def _letter(letter: DeadLetter, now: datetime) -> Text:
    age = letter.age_seconds(now)
    text = Text().append(plain(letter.outcome), OUTCOME_STYLES.get(letter.outcome, "yellow"))
    text.append(f"  {'?' if age is None else brief_seconds(age)} ago  {plain(letter.reason)}")
    text.append(f"  {plain(letter.message.message_id)}", "dim")
    trace = letter.message.log_fields().get("trace_id")
    return text.append(f"  trace {plain(trace)}", "dim") if trace else text


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
