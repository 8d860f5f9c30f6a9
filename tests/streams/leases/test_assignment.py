"""Shares among live workers: equal within one, and at rest once they are."""

import random

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
        wanted = plan(worker, view)
        for key in wanted.take:
            if holders[key] == view[key]:  # the conditional write
                holders[key] = worker
                moves += 1
        if wanted.request is not None and holders[wanted.request] == view[wanted.request]:
            holders[wanted.request] = worker
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


def test_a_worker_takes_no_more_than_its_share_of_what_is_free() -> None:
    holders: Holders = {"1": "b", "2": "b", "3": None, "4": None, "5": None}
    assert len(plan("a", holders).take) == 3  # five leases, two workers


def test_a_worker_without_a_lease_leaves_another_its_only_one() -> None:
    assert plan("a", {"1": "b"}) == plan("a", {})


def test_one_lease_at_a_time_is_asked_for_and_only_of_the_most_loaded() -> None:
    holders: Holders = {"1": "b", "2": "b", "3": "c", "4": "c", "5": "c"}
    assert plan("a", holders).request == "3"
    assert plan("a", holders).take == ()


def test_two_workers_try_free_leases_in_different_orders() -> None:
    free: Holders = dict.fromkeys(f"lease-{number}" for number in range(20))
    assert plan("a", free).take != plan("b", free).take


def test_a_lease_that_was_free_at_two_scans_is_acquired_beyond_the_share() -> None:
    holders = {"a": "me", "b": "me", "c": "other", "d": "other", "e": None}
    assert plan("me", holders | {"f": "other"}).take == ("e",)
    full = {"a": "me", "b": "other", "c": None}
    assert plan("me", full | {"d": "me"}, left_free=frozenset({"c"})).take == ("c",)
    assert plan("me", full | {"d": "me"}).take == ()


def test_a_worker_acquires_no_more_than_its_capacity() -> None:
    holders = dict.fromkeys("abcdef")
    assert len(plan("me", holders, left_free=frozenset(holders), capacity=2).take) == 2
    assert plan("me", {"a": "me", "b": "other", "c": "other", "d": "other"}, capacity=1).request is None


def test_a_worker_without_progress_requests_nothing() -> None:
    holders = dict.fromkeys("abc", "other")
    assert plan("me", holders).request is not None
    assert plan("me", holders, may_request=False).request is None
