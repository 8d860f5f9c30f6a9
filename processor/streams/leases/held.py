"""One lease while this task holds it: the one place that writes its row, and how long it may be trusted.

Every write raises the counter under the condition that no other worker has, and so renews the lease too. An
answer that got lost leaves open whether the write happened; the row shows it at the next one. The lease is
trusted from the *start* of the write that others can have seen first, less a margin, on a clock that counts
the time in which the machine was suspended.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from processor.aws.errors import AwsError, ConditionFailed
from processor.streams.clocks import suspend_aware_clock
from processor.streams.leases.lease import SHARD_END, Attributes, Lease, number, position_attributes
from processor.streams.leases.reconcile import Outcome, reconcile
from processor.streams.leases.table import LeaseTable, unchanged

TRUST_MARGIN = 0.1
"""Share of the failover time that a holder stops early: for clocks that run at different speeds, and for
what lies between the question whether the lease is trusted and the call that follows."""

_MYSELF = ""
"""Stands for this worker as the row's next owner; no worker is named so."""

_FOR_THE_OWNER = frozenset({"x_requestedBy", "x_stopping"})
"""Attributes that go when the row changes its owner."""


class LeaseOver(Exception):
    """The tenure has ended before: released, finished, or found lost. Nothing more may be written."""


class LeaseLost(LeaseOver):
    """It turned out just now that another task holds the lease, or that its row is gone."""


class LeaseNotTrusted(Exception):
    """The lease was not renewed in time; another task may own it (docs/invariants.md, law 7)."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who holds leases here: a worker's name, unique to this start of the process, and the failover time."""

    worker: str
    failover_seconds: float
    clock: Callable[[], float] = suspend_aware_clock


def acquire(table: LeaseTable, lease: Lease, identity: WorkerIdentity) -> "HeldLease | None":
    """Takes a lease that is free, has run out, or was handed to this worker.

    Returns:
        The held lease, or None if another task was first.

    Raises:
        AwsError: if the table could not be written; the next scan shows whether it was.
    """
    started = identity.clock()
    sets: Attributes = {
        "leaseCounter": number(lease.counter + 1),
        "leaseOwner": {"S": identity.worker},
        "ownerSwitchesSinceCheckpoint": number(lease.owner_switches + 1),
        "x_failoverSeconds": number(identity.failover_seconds),
    }
    try:
        row = table.update(lease.key, unchanged(lease), sets, _FOR_THE_OWNER)
    except ConditionFailed as refused:
        outcome, row = reconcile(lease, sets, _FOR_THE_OWNER, refused.item)
        if outcome is not Outcome.WRITTEN:
            return None
    return HeldLease(table, row, identity, won_at=started)


class HeldLease:
    """A lease of this task. Methods may be called from any thread; writes happen one after the other.

    Args:
        table: the leases table.
        row: as this worker's winning write left it.
        identity: this worker.
        won_at: when that write started (on the worker's clock).

    Attributes:
        row: the row as this task last knew it.
        delivered: the last record whose work, and that of all before it, is finished. The row may be
            behind: the next write of any kind carries it.
        read_until: start of the last read that found no record (Unix seconds); the next write carries it.
        is_stopping: set where the worker stops: the next renewal says so, and others count without it.
        over: whether the tenure has ended: released, finished, or lost to another worker.
    """

    def __init__(self, table: LeaseTable, row: Lease, identity: WorkerIdentity, *, won_at: float) -> None:
        self._table = table
        self._identity = identity
        self._writing = threading.Lock()
        self._renewed_at = won_at
        # Start of the earliest write whose outcome is unknown: others may have seen the counter move then.
        self._unsure_since: float | None = None
        self._may_be_free = False
        self.row = row
        self.delivered = row.position
        self.read_until = row.read_until
        self.is_stopping = False
        self.over = False

    @property
    def busy(self) -> bool:
        """Whether a write of it is under way: another one would have to wait for its answer."""
        return self._writing.locked()

    def trusted(self) -> bool:
        """Whether it is certain that no other task holds the lease at this moment."""
        return self._is_in_time() and not (self._may_be_free or self.over)

    def _is_in_time(self) -> bool:
        return self.seconds_since_renewal() < self._identity.failover_seconds * (1 - TRUST_MARGIN)

    def seconds_since_renewal(self) -> float:
        """How long ago the write started that the trust rests on."""
        return self._identity.clock() - self._renewed_at

    def renew(self, min_age_seconds: float = 0.0) -> None:
        """Renews the lease and, if it is still trusted, writes the last delivered record as its checkpoint.

        A lease that was renewed late, and that no other worker acquired until then, is trusted again.

        Args:
            min_age_seconds: nothing is written if another write has renewed the lease since.

        Raises:
            LeaseLost: it just turned out that the lease is lost, for good.
            AwsError: it may or may not have been written.
        """
        with self._writing:
            if not self.over and self.seconds_since_renewal() >= min_age_seconds:
                self._write({})

    def set_children(self, children: frozenset[str]) -> None:
        """Names the shard's children in its row.

        Raises:
            LeaseNotTrusted: nothing was written.
            LeaseOver: nothing was written, for the tenure had ended.
            LeaseLost, AwsError: as `renew` does.
        """
        self._write_if_trusted({"childShardIds": {"SS": sorted(children)}})

    def let_children_start(self) -> None:
        """Notes in the row that the children may start, although the shard is not finished.

        Raises as `set_children` does.
        """
        self._write_if_trusted({"x_passed": {"BOOL": True}})

    def finish(self, now: float) -> None:
        """Writes that the shard is read to its end (at `now`, Unix seconds) and gives the lease up.

        Raises as `set_children` does.
        """
        self._write_if_trusted({"checkpoint": {"S": SHARD_END}, "x_endedAt": number(now)}, next_owner=None)

    def release(self, to: str | None = None) -> None:
        """Frees the lease, or hands it to the worker that asks for it; with a checkpoint if it is trusted.

        Also for another thread than the reader's: a call that the reader is in may still land, as a repeat
        of what the next owner begins with; no further one begins. A lease that is over stays as it is.

        Args:
            to: who was seen to ask for it. The row decides: a request withdrawn since then does not count.

        Raises as `renew` does.
        """
        with self._writing:
            if not self.over:
                self._may_be_free = True  # from here on, whatever the answer
                self._write({}, to or self.row.requested_by)

    def abandon(self) -> None:
        """Ends the tenure here without a write: the lease runs out by itself."""
        self.over = True

    def _write_if_trusted(self, extra: Attributes, next_owner: str | None = _MYSELF) -> None:
        with self._writing:
            if not self.over and not self.trusted():
                raise LeaseNotTrusted(self.row.key)
            self._write(extra, next_owner)

    def _write(self, extra: Attributes, next_owner: str | None = _MYSELF) -> None:
        """The one write of a held lease; the caller holds the lock."""
        if self.over:
            raise LeaseOver(self.row.key)
        while True:
            before, started = self.row, self._identity.clock()
            sets, removes = self._changes(before, extra, next_owner)
            requested = {"x_requestedBy": {"S": next_owner}} if next_owner else {}
            try:
                row = self._table.update(before.key, {**unchanged(before), **requested}, sets, removes)
            except ConditionFailed as refused:
                is_unsure = self._unsure_since is not None
                since = started if self._unsure_since is None else self._unsure_since
                to = next_owner or None
                outcome, row = reconcile(
                    before, sets, removes, refused.item, next_owner=to, earlier_unknown=is_unsure
                )
                if outcome is Outcome.LOST:
                    self.over = True
                    raise LeaseLost(before.key) from None
                if outcome is Outcome.REQUEST_CHANGED:
                    # The worker that requested the lease is being stopped: it would not read the shard.
                    self.row, next_owner = row, row.requested_by
                    continue
                if outcome is Outcome.EARLIER_WRITTEN:
                    self._renewed(row, since)
                    continue
                if outcome is Outcome.EARLIER_RELEASED:
                    next_owner = None
                started = since
            except AwsError:
                if self._unsure_since is None:
                    self._unsure_since = started
                raise
            self._renewed(row, started)
            if next_owner is not _MYSELF:
                self.over = True
            return

    def _changes(
        self, before: Lease, extra: Attributes, next_owner: str | None
    ) -> tuple[Attributes, frozenset[str]]:
        sets: dict[str, Mapping[str, Any]] = {"leaseCounter": number(before.counter + 1)}
        delivered, read_until = self.delivered, self.read_until
        if self._is_in_time():
            if delivered.sequence_number != before.position.sequence_number:
                sets |= position_attributes(delivered) | {"ownerSwitchesSinceCheckpoint": number(0)}
            if read_until is not None and read_until != before.read_until:
                sets["x_readUntil"] = number(read_until)
        sets |= extra
        if next_owner is None:
            return sets, _FOR_THE_OWNER | {"leaseOwner"}
        sets["leaseOwner"] = {"S": next_owner or self._identity.worker}
        if next_owner is not _MYSELF:
            return sets, _FOR_THE_OWNER
        if self.is_stopping:
            sets["x_stopping"] = {"BOOL": True}
        return sets, frozenset()

    def _renewed(self, row: Lease, write_started: float) -> None:
        self.row = row
        self._renewed_at = write_started
        self._unsure_since = None
