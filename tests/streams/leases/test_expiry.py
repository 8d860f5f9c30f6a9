"""A lease has expired once its row did not change for a failover time, counted so that none expires early."""

from dataclasses import replace

from processor.streams.leases.expiry import ExpiredLeaseDetector
from processor.streams.leases.lease import new_lease

LEASE = replace(
    new_lease("arn:x:table/t/stream/s", "shard-1", frozenset(), now=0.0, tracked_since=0.0), owner="a"
)
FAILOVER_SECONDS = 10.0


def is_expired(detector: ExpiredLeaseDetector, counter: int, started: float, *, takes: float = 4.0) -> bool:
    """Whether the lease has expired, as a scan of some seconds finds."""
    seen = replace(LEASE, counter=counter)
    return bool(detector.observe([seen], started=started, ended=started + takes))


def test_a_row_that_is_new_or_has_changed_is_dated_by_the_end_of_its_scan() -> None:
    detector = ExpiredLeaseDetector(FAILOVER_SECONDS)
    assert not is_expired(detector, 1, 0.0)
    assert not is_expired(detector, 1, 13.9), "it may have changed as late as at 4"
    assert is_expired(detector, 1, 14.0)
    assert not is_expired(detector, 2, 20.0)
    assert not is_expired(detector, 2, 33.9), "it may have changed as late as at 24"
    assert is_expired(detector, 2, 34.0)


def test_a_row_is_known_since_it_was_first_seen_and_a_free_one_does_not_expire() -> None:
    detector = ExpiredLeaseDetector(FAILOVER_SECONDS)
    for started in (0.0, 20.0):
        assert not detector.observe([replace(LEASE, owner=None)], started=started, ended=started + 1)
    is_expired(detector, 5, 40.0)
    assert detector.first_seen() == {LEASE.key: 1.0}
