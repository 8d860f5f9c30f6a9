"""Worlds with a story: each shows one trouble that the service must outlive."""

from collections.abc import Mapping

from tests.transitions.world.faults import Kind, Window
from tests.transitions.world.plans import SQS_CALLS, TABLE_CALLS
from tests.transitions.world.traffic import Pattern
from tests.transitions.world.world import IndexOfAnotherType, Plan

STORIES: Mapping[str, Plan] = {
    # One slow task that keeps up with fresh events, and a backlog that is worthless when the queue is back.
    "an outage longer than the TTL": Plan(
        patterns=[Pattern(60, 40), Pattern(8, 15, starts_at=90)],
        ttl_seconds=6,
        windows=[Window(0, 14, Kind.UNREACHABLE, SQS_CALLS)],
        latency_seconds=0.1,
        settings={"EXPORT_RECEIVERS": "1"},
        drains_within=40,
    ),
    "four hours without the queue": Plan(
        patterns=[Pattern(0.05, 14_400), Pattern(8, 15, starts_at=14_500)],
        windows=[Window(60, 14_400, Kind.UNREACHABLE, SQS_CALLS)],
        drains_within=60,
    ),
    "an index that refuses every write": Plan(
        patterns=[Pattern(8, 60), Pattern(8, 15, starts_at=400)],
        index=IndexOfAnotherType(20, 300, {"status": "N"}),
    ),
    "an index that refuses file names": Plan(
        patterns=[Pattern(8, 60), Pattern(8, 15, starts_at=400)],
        index=IndexOfAnotherType(20, 300, {"fileName": "N"}),
    ),
    "a queue that is refused at the start": Plan(
        patterns=[Pattern(2, 60), Pattern(8, 15, starts_at=4_000)],
        windows=[Window(0, 3_600, Kind.DENIED, SQS_CALLS)],
    ),
    "a table that is refused for an hour": Plan(
        patterns=[Pattern(2, 60), Pattern(8, 15, starts_at=4_000)],
        windows=[Window(0, 3_600, Kind.DENIED, TABLE_CALLS)],
    ),
}
