"""Worlds with a story: each shows one trouble that the service must outlive."""

from tests.transitions.world.faults import Kind, Window
from tests.transitions.world.plans import SQS_CALLS, TABLE_CALLS
from tests.transitions.world.traffic import Pattern
from tests.transitions.world.world import IndexOfAnotherType, Plan

_ONE_RECEIVER = {"EXPORT_RECEIVERS": "1"}

AN_OUTAGE_LONGER_THAN_THE_TTL = Plan(
    patterns=[Pattern(60, 40), Pattern(8, 15, starts_at=90)],
    ttl_seconds=6,
    windows=[Window(0, 14, Kind.UNREACHABLE, SQS_CALLS)],
    latency_seconds=0.1,
    settings=_ONE_RECEIVER,
    drains_within=40,
)
"""One slow task that keeps up with fresh events, and a backlog that is worthless when the queue is back."""

FOUR_HOURS_WITHOUT_THE_QUEUE = Plan(
    patterns=[Pattern(0.05, 14_400), Pattern(8, 15, starts_at=14_500)],
    windows=[Window(60, 14_400, Kind.UNREACHABLE, SQS_CALLS)],
    drains_within=60,
)

AN_INDEX_THAT_REFUSES_EVERY_WRITE = Plan(
    patterns=[Pattern(8, 60), Pattern(8, 15, starts_at=400)],
    index=IndexOfAnotherType(20, 300, {"status": "N"}),
)

AN_INDEX_THAT_REFUSES_FILE_NAMES = Plan(
    patterns=[Pattern(8, 60), Pattern(8, 15, starts_at=400)],
    index=IndexOfAnotherType(20, 300, {"fileName": "N"}),
)

A_QUEUE_THAT_IS_REFUSED_AT_THE_START = Plan(
    patterns=[Pattern(2, 60), Pattern(8, 15, starts_at=4_000)],
    windows=[Window(0, 3_600, Kind.DENIED, SQS_CALLS)],
)

A_TABLE_THAT_IS_REFUSED_FOR_AN_HOUR = Plan(
    patterns=[Pattern(2, 60), Pattern(8, 15, starts_at=4_000)],
    windows=[Window(0, 3_600, Kind.DENIED, TABLE_CALLS)],
)
