"""Seeds as plans: rates, bursts, outages, throttling, lost answers, kills and skewed clocks."""

import random
from collections.abc import Sequence

from tests.transitions.world.faults import Kind, Window
from tests.transitions.world.traffic import Pattern
from tests.transitions.world.world import Plan

MOST_EVENTS = 400
SQS_CALLS = (
    "ReceiveMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
    "SendMessageBatch",
)
TABLE_CALLS = ("UpdateItem", "BatchExecuteStatement", "BatchGetItem", "GetItem")
WRITES = ("UpdateItem", "BatchExecuteStatement")
_RATES = (0.2, 2.0, 20.0, 100.0, 400.0, 1_500.0)
_TTLS = (90, 300, 900)


def plan_of(seed: int) -> Plan:
    """The plan of a seed: the same for the same seed, on every machine."""
    rng = random.Random(f"plan {seed}")
    rate = rng.choice(_RATES)
    seconds = min(600.0, rng.uniform(0.3, 1.0) * MOST_EVENTS / rate)
    ttl_seconds = rng.choice(_TTLS)
    patterns = [Pattern(rate, seconds, burst=rng.random() < 0.2)]
    windows = [*_windows(rng, seconds, ttl_seconds)]
    calm_from = max([seconds, *(window.end for window in windows)])
    # Fresh exports after everything: they must end as if nothing had happened.
    patterns.append(Pattern(min(rate, 8.0), 15.0 if rate >= 2 else 100.0, starts_at=calm_from + 40.0))
    return Plan(
        patterns=patterns,
        ttl_seconds=ttl_seconds,
        windows=windows,
        kills=[rng.uniform(0, calm_from) for _ in range(rng.choice((0, 0, 1, 2)))],
        skew_seconds=rng.choice((0.0, 0.0, -2.0, 2.0, 20.0)),
        fifo=rng.random() < 0.2,
        write_mode=rng.choice(("auto", "auto", "auto", "batch", "single")),
        tells_items=rng.random() < 0.7,
    )


def _windows(rng: random.Random, seconds: float, ttl_seconds: int) -> Sequence[Window]:
    """Up to three troubles; the longest outage is longer than the TTL."""
    windows = []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        start = rng.uniform(0, seconds)
        kind = rng.choice([*Kind])
        calls = rng.choice(
            (SQS_CALLS, TABLE_CALLS, WRITES, ("BatchExecuteStatement",), ("DeleteMessageBatch",))
        )
        if rng.random() < 0.4:
            length = rng.choice((0.3, 0.8, 1.5)) * ttl_seconds
            windows.append(Window(start, start + length, kind, calls))
        else:
            windows.append(
                Window(start, start + rng.uniform(1, 60), kind, calls, rng.choice((0.05, 0.3, 1.0)))
            )
    return windows
