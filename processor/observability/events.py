"""The registry of log events: the stable names that a line's `event` may have.

Operators search and alarm on these names, so a name never changes its meaning. `docs/logs.md` is generated
from this table, and a test holds it against every log call of the service.
"""

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Level(Enum):
    """How much attention a line needs."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One log event.

    Attributes:
        name: the line's `event`.
        levels: the levels that it is written at, the most severe first; none for lines that are no log lines.
        meaning: what happened, in one sentence, and what follows from it.
        fields: what the line has besides `timestamp`, `level` and `event`. A line may leave some out.
    """

    name: str
    levels: tuple[Level, ...]
    meaning: str
    fields: tuple[str, ...] = ()


_D, _I, _W, _E, _C = ((level,) for level in Level)
_EXCEPTION = ("error_type", "error_at")

_SERVICE = (
    LogEvent("service_starting", _I, "The service starts.", ("parts", "region", "settings")),
    LogEvent("service_started", _I, "All start-up checks passed and all threads run.", ("parts",)),
    LogEvent("service_stopping", _I, "A signal came or a thread died; the drain begins.", ("drain_seconds",)),
    LogEvent("service_stopped", _I, "The service has stopped.", ("exit_status", "drained")),
    LogEvent(
        "drain_over_budget",
        _E,
        "The drain took too long; messages and shards come back after their visibility timeout or lease.",
        ("drain_seconds", "consequence"),
    ),
    LogEvent(
        "thread_died",
        _C,
        "A thread died; the process ends with status 1.",
        ("thread", "reason", *_EXCEPTION),
    ),
    LogEvent(
        "start_waits",
        _W,
        "AWS does not answer a start-up check; it is repeated.",
        ("resource", "error"),
    ),
    LogEvent(
        "part_waiting",
        _E,
        "One half of the service cannot start; it tries on, and this line comes once a minute.",
        ("part", "problem"),
    ),
    LogEvent("health_degraded", _W, "The health file cannot be written.", ("problem",)),
    LogEvent(
        "queue_attributes_unknown",
        _W,
        "AWS refuses GetQueueAttributes on the event queue; defaults are used.",
        ("error", "consequence"),
    ),
    LogEvent(
        "dead_letter_queue_not_read",
        _W,
        "AWS refuses GetQueueAttributes on the dead-letter queue; it is not checked.",
        ("error", "consequence"),
    ),
    LogEvent(
        "table_not_described",
        _W,
        "AWS refuses DescribeTable; the table's key is not checked.",
        ("error", "consequence"),
    ),
    LogEvent(
        "table_not_read", _W, "AWS refuses GetItem on the leases table.", ("table", "error", "consequence")
    ),
    LogEvent(
        "audit_stream_not_described",
        _W,
        "AWS refuses DescribeStreamSummary; the audit stream is not checked.",
        ("error", "consequence"),
    ),
    LogEvent(
        "aws_call_defect",
        _E,
        "Bug: an AWS call raised an unexpected exception or returned a malformed response.",
        ("operation", *_EXCEPTION),
    ),
    LogEvent(
        "library_log",
        _C + _E + _W + _I + _D,
        "A library logged this; URLs are masked.",
        ("logger", "message", "error_type"),
    ),
)

_TRANSITIONS = (
    LogEvent(
        "transitions_started",
        _I,
        "The receivers run.",
        ("receivers", "visibility_seconds", "max_receive_count"),
    ),
    LogEvent(
        "event_outcome",
        _W + _D,
        "The outcome of one event: at WARNING for `expired`, `invalid`, `conflict` and dead-lettered events.",
        (
            *("outcome", "event_id", "message_id", "trace_id", "receive_count", "request_id", "status"),
            *("reason", "sender_id", "late_seconds", "item_present"),
        ),
    ),
    LogEvent(
        "event_outcomes_left_out",
        _W,
        "So many `event_outcome` lines of each outcome were left out: a task writes ten a second of each.",
        ("counts",),
    ),
    LogEvent(
        "decode_failed",
        _E,
        "Bug: a body was refused for a reason that the rules do not name; it is dead-lettered.",
        ("message_id", "trace_id", *_EXCEPTION),
    ),
    LogEvent(
        "condition_and_rule_differ",
        _E,
        "Bug: DynamoDB refused a write that the rules allow; the message comes back.",
        ("request_id", "message_id", "trace_id"),
    ),
    LogEvent(
        "receive_failed",
        _E + _W,
        "A receive failed; the next one waits. At ERROR where the queue is missing or refused.",
        ("error", "next_try_seconds"),
    ),
    LogEvent(
        "store_paused",
        _E,
        "The table takes no writes; polling pauses so that no receive counts are used up.",
        ("error", "consequence"),
    ),
    LogEvent("store_resumed", _I, "The table takes writes again; polling goes on."),
    LogEvent(
        "delete_failed",
        _W,
        "Messages could not be deleted; they come back and count as duplicates.",
        ("messages", "consequence"),
    ),
    LogEvent(
        "release_failed",
        _W,
        "Messages could not be made visible; they come back after their visibility timeout.",
        ("messages", "consequence"),
    ),
    LogEvent(
        "batch_given_up",
        _W,
        "No time was left in the visibility timeout or the drain; the messages are made visible again.",
        ("messages", "consequence"),
    ),
    LogEvent(
        "dead_letter_failed",
        _E,
        "The dead-letter queue did not take a copy; the original stays in the event queue.",
        ("message_id", "trace_id", "outcome", "refused", "consequence"),
    ),
    LogEvent(
        "batch_writes_off",
        _W,
        "Each event is written with one UpdateItem; in mode `batch` only those that batches may not write.",
        ("problem", "consequence"),
    ),
    LogEvent(
        "batch_writes_undecided",
        _I,
        "The table did not answer whether it supports conditional batches; it is asked again.",
        ("consequence",),
    ),
    LogEvent(
        "batch_fell_back",
        _W,
        "A batch of which nothing was written; its changes take one UpdateItem each. Written once.",
        ("changes", "codes", "consequence"),
    ),
    LogEvent("batch_writes_on", _I, "The table supports conditional batches; batch writes are on."),
)

_STREAMS = (
    LogEvent("shard_found", _I, "The lease row of a new shard was made.", ("lease_key",)),
    LogEvent("shard_finished", _I, "A shard was read to its end.", ("lease_key",)),
    LogEvent(
        "shard_read_failed",
        _W,
        "Reading a shard failed; the reader retries after a back-off.",
        ("shard_id", "stream_arn", "error"),
    ),
    LogEvent(
        "shard_end_failed",
        _W,
        "The end of a shard could not be written to its lease row; it is retried.",
        ("lease_key", "error"),
    ),
    LogEvent(
        "shard_reader_hangs", _W, "A reader did not stop in time; its lease was released.", ("lease_key",)
    ),
    LogEvent(
        "shard_stalled",
        _W,
        "This task made no progress with a shard for some minutes and releases it for another task.",
        ("lease_key",),
    ),
    LogEvent(
        "shard_passed",
        _E,
        "A listed shard was not found for an hour: its children start, and it is tried again.",
        ("lease_key",),
    ),
    LogEvent("lease_taken", _I, "This task acquired the lease of a shard.", ("lease_key", "counter")),
    LogEvent(
        "lease_requested", _I, "This task asked another task for a shard, to share the work.", ("lease_key",)
    ),
    LogEvent("lease_lost", _W, "Another task acquired the lease of a shard.", ("lease_key",)),
    LogEvent("lease_abandoned", _E, "A reader did not stop in time; its lease expires.", ("lease_key",)),
    LogEvent("lease_removed", _I, "The row of a shard that ended 48 hours ago was deleted.", ("lease_key",)),
    LogEvent(
        "lease_renewal_failed",
        _W,
        "A renewal failed; it is retried within a tenth of the failover time.",
        ("lease_key", "error"),
    ),
    LogEvent(
        "lease_release_failed",
        _W,
        "A lease could not be released; it is retried until the deadline, then the lease expires.",
        ("lease_key", "error"),
    ),
    LogEvent(
        "lease_withdrawal_failed",
        _W,
        "At the stop, a request for another task's shard could not be withdrawn; it may cost a"
        " failover time.",
        ("lease_key", "error"),
    ),
    LogEvent(
        "lease_row_unreadable", _E, "A lease row could not be parsed; its shard is skipped.", ("lease_key",)
    ),
    LogEvent("lease_scan_failed", _W, "The leases table could not be read.", ("error",)),
    LogEvent(
        "checkpoint_failed",
        _W,
        "A checkpoint could not be written; the next one includes it.",
        ("lease_key", "error"),
    ),
    LogEvent("discovery_failed", _W, "The stream's shards could not be listed.", ("error",)),
    LogEvent(
        "stream_missing",
        _E,
        "The table has no stream, or a listed stream does not exist.",
        ("table", "problem"),
    ),
    LogEvent(
        "stream_replaced",
        _W,
        "The table has a new stream; it is read after the old one.",
        ("old_stream_arn", "new_stream_arn"),
    ),
    LogEvent(
        "stream_disabled", _E, "The table's stream is off: nothing new is audited.", ("table", "problem")
    ),
    LogEvent(
        "stream_view_incomplete",
        _E,
        "The stream has no old images: entries hold keys only.",
        ("table", "problem"),
    ),
)

_AUDIT = (
    LogEvent("audit_started", _I, "The audit runs.", ("sinks",)),
    LogEvent(
        "no_quarantine",
        _W,
        "No dead-letter queue is known; an entry that a sink refuses holds its shard.",
        ("consequence", "remedy"),
    ),
    LogEvent("audit", (), "An audit entry (sink `log`).", ("all fields of the entry",)),
    LogEvent(
        "audit_gap",
        _E,
        "Records were trimmed before they were read.",
        ("reason", "stream_arn", "shard_id", "last_sequence_number", "first_sequence_number", "hours"),
    ),
    LogEvent(
        "audit_trim_near",
        _E,
        "A shard is so late that its records will be trimmed soon.",
        ("shard_id", "lag_seconds", "hours_left"),
    ),
    LogEvent(
        "audit_quarantined",
        _E,
        "A sink refused an entry for its content; the entry is in the dead-letter queue.",
        ("audit_id", "request_id", "sink", "reason"),
    ),
    LogEvent("audit_sink_down", _E, "A sink takes nothing; its shards wait.", ("sink", "problem")),
    LogEvent("audit_sink_up", _I, "The sink takes entries again.", ("sink",)),
    LogEvent("metrics", (), "The metrics of an interval, see metrics.md.", ("_aws", "all metrics")),
)

LOG_EVENTS = MappingProxyType({event.name: event for event in (*_SERVICE, *_TRANSITIONS, *_STREAMS, *_AUDIT)})
"""Every log event by its name."""

SECTIONS = MappingProxyType(
    {
        "The service": _SERVICE,
        "Transitions: events to the status table": _TRANSITIONS,
        "The stream: shards and leases": _STREAMS,
        "Audit: entries to sinks": _AUDIT,
    }
)
"""The same, in the order of `docs/logs.md`."""
