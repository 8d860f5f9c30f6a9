"""A run in which nothing went wrong, without a service: what tests of the checker change to see it object."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.faults.checker import DeadLetter, Delivered, Observed
from tests.faults.expected import DeletedByHand, Ending, Expected, Sent, Value
from tests.faults.traffic import TTL_SECONDS, Traffic, traffic

BEGINS = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ENDS = datetime(2026, 11, 22, 10, 2, tzinfo=UTC)
SINKS = ("kinesis", "log")
TTL_ACTOR = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def drawn(seed: int = 5) -> Traffic:
    return traffic(seed=seed, exports=120, messages=480, seconds=20, begins=BEGINS, ends=ENDS)


def sent_of(planned: Traffic) -> tuple[list[Sent], list[DeletedByHand]]:
    """The traffic as it was sent, without delay."""
    timely = [(BEGINS.timestamp() + each.after_seconds, each) for each in planned.timely]
    retold = [(BEGINS.timestamp() + 60, each) for each in planned.retold.values()]
    late = [(ENDS.timestamp() + 3 + each.after_seconds, each) for each in planned.late]
    sent = [
        Sent(f"message-{number}", at, each.body, each.event)
        for number, (at, each) in enumerate([*timely, *retold, *late])
    ]
    return sent, [DeletedByHand(key, BEGINS.timestamp() + 50) for key in planned.retold]


def value(allowed: frozenset[Value]) -> Value:
    """One of the values that are allowed."""
    return min(allowed, key=repr)


def item_of(ending: Ending) -> dict[str, Any]:
    item = {name: value(allowed) for name, allowed in ending.item.items()}
    created = datetime.fromisoformat(str(item["createdAt"]))
    item["ttl"] = int(created.timestamp()) + TTL_SECONDS
    return {name: each for name, each in item.items() if each is not None}


def entry_of(ending: Ending, audit_id: str, *, expired: bool) -> dict[str, Any]:
    return {name: value(allowed) for name, allowed in ending.audit.items()} | {
        "schemaVersion": 1,
        "auditId": audit_id,
        "action": "export.expired" if expired else "export.deleted",
        "deletedAt": "2026-11-22T10:02:07.000Z",
        "deletionLagSeconds": 3 if expired else None,
        "actor": TTL_ACTOR if expired else None,
        "source": {
            "table": "t",
            "region": "us-east-1",
            "streamArn": "arn",
            "shardId": "s",
            "sequenceNumber": "7",
        },
    }


def letter_of(source: str, body: str, outcome: str) -> DeadLetter:
    return DeadLetter(
        body,
        {
            "rejectionOutcome": outcome,
            "rejectionReason": "status must be one of four",
            "sourceMessageId": source,
            "receiveCount": "1",
            "rejectedAt": "2026-11-22T10:00:07.000Z",
        },
    )


def perfect(wanted: Expected) -> Observed:
    """What a run leaves behind in which nothing went wrong."""
    items: dict[tuple[str, int], Mapping[str, Any]] = {}
    audit: list[Delivered] = []
    letters = [letter_of(source, body, "invalid") for source, body in wanted.poison.items()]
    for request_id, lives in wanted.lives.items():
        for number, life in enumerate(lives):
            ending = life.endings[0]
            items[request_id, number] = item_of(ending)
            entry = entry_of(ending, f"{request_id}/{number}", expired=life.action == "export.expired")
            audit += [Delivered(sink, number, entry) for sink in SINKS]
            letters += [letter_of(source, wanted.bodies[source], "conflict") for source in ending.losers]
    return Observed(items=items, dead_letters=letters, audit=audit, sinks=SINKS)
