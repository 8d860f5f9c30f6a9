"""Asks every source about one export."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any, Literal, TypeVar

from handlers.envelopes import InvalidEvent
from handlers.events import decode
from handlers.export import Export, MalformedItem, is_dead
from processor.audit.sinks.kinesis import bucket_number, buckets_of
from processor.audit.tail import KinesisReader
from processor.aws.clients import Aws
from processor.cli.audit.output import entries_of
from processor.cli.dlq.dead_letter import DeadLetter
from processor.cli.dlq.queue import OUT_OF_REACH, browsing
from processor.cli.errors import CommandFailed
from processor.cli.get import read_item
from processor.cli.session import aws_errors, retry
from processor.settings import Settings, SettingsError, load_aws_settings

MAX_LOG_LINES = 50
MAX_LOG_PAGES = 20

T = TypeVar("T")

Source = Literal["record", "deadLetters", "auditEntries", "logLines"]
"""Where `why` looks; these are the keys of `--json`."""


@dataclass(frozen=True, slots=True)
class Known:
    """The answers of all sources about one export.

    Attributes:
        request_id: the export.
        record: its item, dead or alive; None if there is none.
        dead: whether the item is past its ttl.
        letters: its dead letters.
        entries: its audit entries, oldest first.
        log_lines: log lines that name it, oldest first.
        unread: why a source could not be read.
    """

    request_id: str
    record: Export | None = None
    dead: bool = False
    letters: Sequence[DeadLetter] = ()
    entries: Sequence[Mapping[str, Any]] = ()
    log_lines: Sequence[str] = ()
    unread: Mapping[Source, Exception] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Asks the sources, one after the other.

    Args:
        settings: names of table, queues and stream.
        aws: the clients.
        request_id: the export.
        since: from when on audit entries and log lines are read.
        log_group: the service's log group.
        now: our clock.
    """

    settings: Settings
    aws: Aws
    request_id: str
    since: datetime
    log_group: str
    now: datetime

    def known(self) -> Known:
        """The answers; a source that cannot be read has its reason in `unread`.

        So has one that could be read only in part, where that part does not name the export.
        """
        unread: dict[Source, Exception] = {}
        record = _answer("record", self._record, unread)
        return Known(
            request_id=self.request_id,
            record=record,
            dead=record is not None and is_dead(record.ttl, self.now),
            letters=_answer("deadLetters", self._letters, unread) or (),
            entries=_answer("auditEntries", self._entries, unread) or (),
            log_lines=_answer("logLines", self._log_lines, unread) or (),
            unread=unread,
        )

    def _record(self) -> Export | None:
        item = read_item(self.aws, self.settings.table, self.request_id)
        return None if item is None else Export.from_item(item)

    def _letters(self) -> Sequence[DeadLetter]:
        with browsing(self.settings, self.aws) as browser:
            letters = [letter for page in browser.pages() for letter in page if self._is_of_export(letter)]
        if not letters and (browser.hidden or len(browser.seen) < browser.expected):
            raise CommandFailed(f"only a part was read, and it was not there: {OUT_OF_REACH}")
        return sorted(letters, key=lambda letter: letter.rejected_at or datetime.min.replace(tzinfo=UTC))

    def _is_of_export(self, letter: DeadLetter) -> bool:
        """Whether a letter names the export; a body that cannot be decoded may still hold its id, quoted."""
        body = letter.message.body
        try:
            return decode(body, now=self.now, sent_at=letter.message.sent_at).request_id == self.request_id
        except InvalidEvent:
            quoted = (json.dumps(self.request_id), json.dumps(self.request_id, ensure_ascii=False))
            return any(text in body or json.dumps(text)[1:-1] in body for text in quoted)

    def _entries(self) -> Sequence[Mapping[str, Any]]:
        """Of one shard: the one that takes the export's bucket."""
        buckets = buckets_of(self.settings.audit_buckets)
        bucket = buckets[bucket_number(self.request_id, len(buckets))]
        stream, wait = self.settings.required_audit_stream(), Event().wait
        client, hash_key = self.aws.kinesis(), bucket.hash_key
        reader = KinesisReader(client, stream, since=self.since, wait=wait, hash_key=hash_key)
        with aws_errors(f"the audit stream {stream}"):
            found = {
                entry["auditId"]: entry
                for page in reader.pages(self.now)
                for record in page
                for entry in entries_of(record, lambda _problem: None)
                if entry.get("requestId") == self.request_id
            }
        return list(found.values())

    def _log_lines(self) -> Sequence[str]:
        aws = load_aws_settings(self.settings)
        if aws.endpoints and aws.endpoint_url is None:
            raise CommandFailed("not asked for: CloudWatch Logs is not at the endpoint of the other services")
        question: dict[str, Any] = {
            "logGroupName": self.log_group,
            "startTime": int(self.since.timestamp() * 1_000),
        }
        if '"' not in self.request_id:
            question["filterPattern"] = f'"{self.request_id}"'
        lines: list[str] = []
        for _ in range(MAX_LOG_PAGES):
            with aws_errors(f"the log group {self.log_group}"):
                answer: Any = retry(self.aws.other("logs").filter_log_events, **question)
            found = [event["message"].strip() for event in answer.get("events", [])]
            lines += [line for line in found if self.request_id in line]
            if not (token := answer.get("nextToken")) or len(lines) >= MAX_LOG_LINES:
                break
            question["nextToken"] = token
        else:
            if not lines:
                raise CommandFailed("only a part was read, and it was not there: name a later --since")
        return lines[:MAX_LOG_LINES]


def _answer(source: Source, ask: Callable[[], T], unread: dict[Source, Exception]) -> T | None:
    try:
        return ask()
    except (SettingsError, CommandFailed, MalformedItem) as problem:
        unread[source] = problem
        return None
