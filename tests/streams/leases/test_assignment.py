"""Shares among live workers: equal within one, and at rest once they are."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.streams.leases.assignment import plan

Holders = dict[str, str | None]


def apply_round(holders: Holders, workers: list[str], rng: random.Random, *, stale: bool) -> int:
    """Every worker plans and acts once, in a random order; with `stale` all look before anyone acts."""
    seen = dict(holders)
    moves = 0
    for worker in rng.sample(workers, len(workers)):
        view = seen if stale else dict(holders)
        take, request = plan(worker, view)
        for key in take:
            if holders[key] == view[key]:  # the conditional write
                holders[key] = worker
                moves += 1
        if request is not None and holders[request] == view[request]:
            holders[request] = worker
            moves += 1
    return moves


@given(
    leases=st.integers(0, 40),
    workers=st.integers(1, 8),
    seed=st.integers(0, 2**32),
    stale=st.booleans(),
    free=st.floats(0, 1),
)
def test_shares_become_equal_within_one_and_then_nothing_moves(
    leases: int, workers: int, seed: int, stale: bool, free: float
) -> None:
    rng = random.Random(seed)
    names = [f"worker-{number}" for number in range(workers)]
    holders: Holders = {
        f"lease-{number}": None if rng.random() < free else rng.choice(names) for number in range(leases)
    }
    for _ in range(leases * 2 + 5):
        if not apply_round(holders, names, rng, stale=stale):
            break
    counts = [list(holders.values()).count(name) for name in names]
    assert None not in holders.values()
    assert max(counts) - min(counts) <= 1
    assert apply_round(holders, names, rng, stale=stale) == 0, "no ping-pong"


FULL = {"a": "me", "b": "other", "c": None, "d": "me"}


@pytest.mark.parametrize(
    ("holders", "options", "taken", "requested"),
    [
        ({"1": "b", "2": "b", "3": None, "4": None, "5": None}, {}, 3, None),  # five leases, two workers
        ({"1": "b"}, {}, 0, None),  # another's only one
        ({"1": "b", "2": "b", "3": "c", "4": "c", "5": "c"}, {}, 0, "3"),  # of the most loaded
        ({"1": "b", "2": "b"}, {"may_request": False}, 0, None),
        (FULL, {}, 0, None),
        (FULL, {"left_free": frozenset({"c"})}, 1, None),  # free at two scans: beyond the share
        (dict.fromkeys("abcdef"), {"left_free": frozenset("abcdef"), "capacity": 2}, 2, None),
        ({"a": "me", "b": "other", "c": "other", "d": "other"}, {"capacity": 1}, 0, None),
    ],
)
def test_a_worker_takes_its_share_and_requests_one_lease_at_a_time(
    holders: Holders, options: dict[str, Any], taken: int, requested: str | None
) -> None:
    take, wanted = plan("me", holders, **options)
    assert (len(take), wanted) == (taken, requested)
    assert {holders[key] for key in take} <= {None}


def test_two_workers_try_free_leases_in_different_orders() -> None:
    free: Holders = dict.fromkeys(f"lease-{number}" for number in range(20))
    assert plan("a", free) != plan("b", free)
