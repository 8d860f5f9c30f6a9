"""Judges the event queue and the dead-letter queue (docs/contract.md, section 3)."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from handlers.events import CLOCK_TOLERANCE
from processor.aws.errors import AwsError
from processor.aws.sqs import redrive_policy
from processor.cli.check.deployed_state import Queue
from processor.cli.check.finding import Finding, fine, unread, wrong
from processor.cli.check.target import Target
from processor.settings import Settings
from processor.startup_checks import MIN_VISIBILITY_SECONDS
from processor.transitions.queue_monitor import receives_needed, shortest_wait_seconds, visibility_problems

USUAL_RECEIVES = 60  # docs/contract.md, section 3
EVENT_QUEUE: Mapping[str, str] = {
    "VisibilityTimeout": "120",
    "ReceiveMessageWaitTimeSeconds": "20",
    "MessageRetentionPeriod": "345600",  # 4 days
    "MaximumMessageSize": "262144",
    "SqsManagedSseEnabled": "true",
}
DEAD_LETTER_QUEUE: Mapping[str, str] = {
    "MessageRetentionPeriod": "1209600",  # 14 days, the most
    "MaximumMessageSize": "1048576",  # 1 MiB, the most
    "SqsManagedSseEnabled": "true",
}
"""The attributes of the queues in `infra/data.yaml`; a test compares them."""

COPY_OVERHEAD_BYTES = 2_048
"""How much longer a dead-letter copy is than its message: six attributes, the longest of 256 characters, and
the JSON around ten attributes of the producer. Quotes and binary values in these may take more."""

_LARGER: Mapping[str, tuple[str, str, int, str]] = {
    "MessageRetentionPeriod": ("retention", "s", 1, "because a message that SQS moves keeps its age"),
    "MaximumMessageSize": (
        "message size",
        "bytes",
        COPY_OVERHEAD_BYTES,
        "because a copy has more attributes",
    ),
}
"""Where the dead-letter queue needs more than the event queue: the name, the unit, how much more, and why."""

_REGION_OF_URL = re.compile(r"https://(?:sqs|queue)\.([a-z]{2}-[a-z0-9-]+-\d)\.amazonaws\.")


def judge_queues(
    settings: Settings, events: Queue, letters: Queue | None, target: Target
) -> Iterator[Finding]:
    """Both queues, and the redrive policy between them."""
    if (region := _REGION_OF_URL.match(events.url)) and region[1] != target.region:
        yield wrong(
            f"queue {events.name}",
            f"SQS_EXPORT_EVENTS_QUEUE_URL is of {region[1]}, but AWS_REGION is {target.region}",
            f"export AWS_REGION={region[1]}",
        )
    if events.error is not None:
        yield _unread(events, events.error, EVENT_QUEUE, target)
        return
    yield _visibility(events, settings, target)
    if letters is None or letters.error is not None:
        yield _redrive(events, None, settings, target)
        if letters is not None and letters.error is not None:
            yield _unread(letters, letters.error, DEAD_LETTER_QUEUE, target)
    elif letters.arn == events.arn:  # by its ARN: a queue has several URLs
        yield _redrive(events, None, settings, target)
        yield wrong(
            f"queue {letters.name}",
            "SQS_EXPORT_EVENTS_DLQ_URL leads to the event queue itself, so that rejected events circle",
            "set SQS_EXPORT_EVENTS_DLQ_URL to the URL of another queue",
        )
    else:
        yield _redrive(events, letters, settings, target)
        for attribute in _LARGER:
            yield _larger(events, letters, attribute, target)
        yield _permission(events, letters, target)


def _unread(queue: Queue, error: AwsError, attributes: Mapping[str, str], target: Target) -> Finding:
    create = _create(target, queue.name, attributes)
    return unread(f"queue {queue.name}", error, target, f"sqs:{error.operation}", queue.name, create=create)


def _visibility(events: Queue, settings: Settings, target: Target) -> Finding:
    subject = f"queue {events.name} visibility timeout"
    seconds = events.number("VisibilityTimeout")
    for problem in visibility_problems(seconds, settings.ttl_seconds):
        usual = int(EVENT_QUEUE["VisibilityTimeout"])
        better = max(MIN_VISIBILITY_SECONDS, min(usual, settings.ttl_seconds // 3))
        if better != seconds:
            remedy = _set(target, events.url, {"VisibilityTimeout": str(better)})
            return wrong(subject, problem.text, remedy)
    return fine(
        subject,
        f"{seconds} s; a poll waits {settings.poll_seconds} s of the {settings.drain_seconds} s of a drain",
    )


def _redrive(events: Queue, letters: Queue | None, settings: Settings, target: Target) -> Finding:
    subject = f"queue {events.name} redrive policy"
    policy = redrive_policy(events.attributes)
    needed = receives_needed(settings.ttl_seconds)
    usual = max(USUAL_RECEIVES, needed)
    if letters is not None and policy.dead_letter_arn != letters.arn:
        found = (
            "missing"
            if policy.dead_letter_arn is None
            else f"leads to {policy.dead_letter_arn.rpartition(':')[2]}"
        )
        return wrong(
            subject,
            f"{found}, must lead to {letters.name}, the SQS_EXPORT_EVENTS_DLQ_URL",
            _redrive_to(target, events.url, letters.arn, usual),
        )
    if policy.dead_letter_arn is None:
        name = f"{events.name.removesuffix('.fifo')}-dlq{'.fifo' if events.name.endswith('.fifo') else ''}"
        create = _create(target, name, DEAD_LETTER_QUEUE)
        arn = f"{events.arn.rpartition(':')[0]}:{name}"
        return wrong(subject, "missing", f"{create} && {_redrive_to(target, events.url, arn, usual)}")
    count = policy.max_receive_count or 0
    waits = f"maxReceiveCount {count}: an early event waits {shortest_wait_seconds(count)} s at least"
    if count >= needed:
        return fine(subject, waits)
    return wrong(
        subject,
        f"{waits}, which must be more than the TTL of {settings.ttl_seconds} s and"
        f" {CLOCK_TOLERANCE.seconds} s for clocks that differ",
        _redrive_to(target, events.url, policy.dead_letter_arn, usual),
    )


def _larger(events: Queue, letters: Queue, attribute: str, target: Target) -> Finding:
    """Whether the dead-letter queue's number is enough larger than the event queue's."""
    name, unit, more, reason = _LARGER[attribute]
    subject = f"queue {letters.name} {name}"
    of_events, of_letters = events.number(attribute), letters.number(attribute)
    if of_letters >= of_events + more:
        return fine(subject, f"{of_letters} {unit}, the event queue's is {of_events}")
    remedy = _set(target, letters.url, {attribute: DEAD_LETTER_QUEUE[attribute]})
    if of_events + more > int(DEAD_LETTER_QUEUE[attribute]):
        remedy = f"{remedy} && {_set(target, events.url, {attribute: EVENT_QUEUE[attribute]})}"
    text = (
        f"must be at least {more} {unit} more than the event queue's {of_events}, {reason}; is {of_letters}"
    )
    return wrong(subject, text, remedy)


def _permission(events: Queue, letters: Queue, target: Target) -> Finding:
    subject = f"queue {letters.name} redrive permission"
    policy: dict[str, Any] = json.loads(letters.attributes.get("RedriveAllowPolicy") or "{}")
    sources = policy.get("sourceQueueArns", [])
    match policy.get("redrivePermission", "allowAll"):
        case "allowAll":
            return fine(subject, "for every queue")
        case "byQueue" if events.arn in sources:
            return fine(subject, "for the event queue")
    allowed = {"redrivePermission": "byQueue", "sourceQueueArns": [*sources, events.arn]}
    return wrong(
        subject,
        "not for the event queue",
        _set(target, letters.url, {"RedriveAllowPolicy": json.dumps(allowed)}),
    )


def _create(target: Target, name: str, attributes: Mapping[str, str]) -> str:
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    words = ("--queue-name", name, "--attributes", json.dumps({**attributes, **fifo}))
    return target.aws("sqs", "create-queue", *words)


def _set(target: Target, url: str, attributes: Mapping[str, str]) -> str:
    words = ("--queue-url", url, "--attributes", json.dumps(attributes))
    return target.aws("sqs", "set-queue-attributes", *words)


def _redrive_to(target: Target, url: str, arn: str, receives: int) -> str:
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": str(receives)})
    return _set(target, url, {"RedrivePolicy": policy})
