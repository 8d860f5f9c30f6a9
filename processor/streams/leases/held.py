"""One lease while this task holds it: the one place that writes its row, and how long it may be trusted.

Every write raises the counter under the condition that no other worker has, and so renews the lease too. An
answer that got lost leaves open whether the write happened; the row shows it at the next one. The lease is
trusted from the *start* of the write that others can have seen first, less a margin, on a clock that counts
the time in which the machine was suspended.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from processor.aws.errors import AwsError, ConditionFailed
from processor.streams.clocks import suspend_aware_clock
from processor.streams.leases.lease import (
    SHARD_END,
    Attributes,
    Lease,
    Position,
    number,
    position_attributes,
    shows,
)
from processor.streams.leases.reconcile import Outcome, Write, reconcile
from processor.streams.leases.table import LeaseTable

TRUST_MARGIN = 0.1
"""Share of the failover time that a holder stops early: for clocks that run at different speeds, and for
what lies between the question whether the lease is trusted and the call that follows."""

_MYSELF = ""
"""Stands for this worker as the row's next owner; no worker is named so."""


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

    def trusted_until(self, write_started: float) -> float:
        """Until when a lease may be trusted whose winning write started then."""
        return write_started + self.failover_seconds * (1 - TRUST_MARGIN)


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
    removes = frozenset({"x_requestedBy", "x_stopping"})
    try:
        row = table.update(lease.key, counter=lease.counter, owner=lease.owner, sets=sets, removes=removes)
    except ConditionFailed as refused:
        if refused.item is None or not shows(refused.item, sets, removes):
            return None
        row = replace(
            lease,
            counter=lease.counter + 1,
            owner=identity.worker,
            owner_switches=lease.owner_switches + 1,
            requested_by=None,
            failover_seconds=identity.failover_seconds,
            stopping=False,
        )
    return HeldLease(table, row, identity, won_at=started)


class HeldLease:
    """A lease of this task. Methods may be called from any thread; writes happen one after the other."""

    def __init__(self, table: LeaseTable, row: Lease, identity: WorkerIdentity, *, won_at: float) -> None:
        """Takes the row as this worker's winning write left it, and when that write started."""
        self._table = table
        self._identity = identity
        self._writing = threading.Lock()
        self._row = row
        self._renewed_at = won_at
        # Start of the earliest write whose outcome is unknown: others may have seen the counter move then.
        self._unsure_since: float | None = None
        self._delivered = row.position
        self._read_until = row.read_until
        self._is_stopping = False
        self._may_be_free = False
        self._over = threading.Event()

    @property
    def row(self) -> Lease:
        """The row as this task last knew it."""
        return self._row

    @property
    def delivered(self) -> Position:
        """The last record whose work, and that of all before it, is finished; the row may be behind."""
        return self._delivered

    @property
    def over(self) -> bool:
        """Whether the tenure has ended: released, finished, or lost to another worker."""
        return self._over.is_set()

    @property
    def busy(self) -> bool:
        """Whether a write of it is under way: another one would have to wait for its answer."""
        return self._writing.locked()

    def trusted(self) -> bool:
        """Whether it is certain that no other task holds the lease at this moment."""
        return self._is_in_time() and not (self._may_be_free or self._over.is_set())

    def _is_in_time(self) -> bool:
        return self._identity.clock() < self._identity.trusted_until(self._renewed_at)

    def seconds_since_renewal(self) -> float:
        """How long ago the write started that the trust rests on."""
        return self._identity.clock() - self._renewed_at

    def advance(self, position: Position) -> None:
        """Notes that the work up to here is finished; the next write of any kind carries it into the row."""
        self._delivered = position

    def note_read_until(self, at: float) -> None:
        """Notes that a read that began at this time found no record; the next write of any kind carries it.

        Args:
            at: Unix seconds.
        """
        self._read_until = at

    def announce_stop(self) -> None:
        """Lets the next renewal say that this worker is stopping, so that others count without it."""
        self._is_stopping = True

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
            if not self._over.is_set() and self.seconds_since_renewal() >= min_age_seconds:
                self._write({})

    def set_children(self, children: frozenset[str]) -> None:
        """Names the shard's children in its row.

        Raises:
            LeaseNotTrusted: nothing was written.
            LeaseOver: nothing was written, for the tenure had ended.
            LeaseLost, AwsError: as `renew` does.
        """
        with self._writing:
            self._require_trust()
            self._write({"childShardIds": {"SS": sorted(children)}})

    def let_children_start(self) -> None:
        """Notes in the row that the children may start, although the shard is not finished.

        Raises as `set_children` does.
        """
        with self._writing:
            self._require_trust()
            self._write({"x_passed": {"BOOL": True}})

    def finish(self, now: float) -> None:
        """Writes that the shard is read to its end (at `now`, Unix seconds) and gives the lease up.

        Raises as `set_children` does.
        """
        with self._writing:
            self._require_trust()
            self._write({"checkpoint": {"S": SHARD_END}, "x_endedAt": number(now)}, next_owner=None)

    def release(self, to: str | None = None) -> None:
        """Frees the lease, or hands it to the worker that asks for it; with a checkpoint if it is trusted.

        Also for another thread than the reader's: a call that the reader is in may still land, as a repeat
        of what the next owner begins with; no further one begins. A lease that is over stays as it is.

        Args:
            to: who was seen to ask for it. The row decides: a request withdrawn since then does not count.

        Raises as `renew` does.
        """
        with self._writing:
            if self._over.is_set():
                return
            self._may_be_free = True  # from here on, whatever the answer
            self._write({}, to or self._row.requested_by)

    def abandon(self) -> None:
        """Ends the tenure here without a write: the lease runs out by itself."""
        self._over.set()

    def _write(self, extra: Attributes, next_owner: str | None = _MYSELF) -> None:
        """The one write of a held lease; the caller holds the lock."""
        if self._over.is_set():
            raise LeaseOver(self._row.key)
        while True:
            before, started = self._row, self._identity.clock()
            delivered = self._delivered if self._is_in_time() else before.position
            sets, removes = self._changes(before, delivered, extra, next_owner)
            try:
                row = self._table.update(
                    before.key,
                    counter=before.counter,
                    owner=before.owner,
                    sets=sets,
                    removes=removes,
                    requester=next_owner or None,
                )
            except ConditionFailed as refused:
                since = started if self._unsure_since is None else self._unsure_since
                write = Write(before, sets, removes, next_owner or None, self._unsure_since is not None)
                found = reconcile(write, refused.item)
                if found.row is None or found.outcome is Outcome.LOST:
                    self._over.set()
                    raise LeaseLost(before.key) from None
                row = found.row
                if found.outcome is Outcome.REQUEST_CHANGED:
                    # The worker that requested the lease is being stopped: it would not read the shard.
                    self._row, next_owner = row, row.requested_by
                    continue
                if found.outcome is Outcome.EARLIER_WRITTEN:
                    self._renewed(row, since)
                    continue
                if found.outcome is Outcome.EARLIER_RELEASED:
                    next_owner = None
                started = since
            except AwsError:
                if self._unsure_since is None:
                    self._unsure_since = started
                raise
            self._renewed(row, started)
            if next_owner is not _MYSELF:
                self._over.set()
            return

    def _changes(
        self, before: Lease, delivered: Position, extra: Attributes, next_owner: str | None
    ) -> tuple[Attributes, frozenset[str]]:
        sets: dict[str, Mapping[str, Any]] = {"leaseCounter": number(before.counter + 1)}
        if delivered.sequence_number != before.position.sequence_number:
            sets |= position_attributes(delivered) | {"ownerSwitchesSinceCheckpoint": number(0)}
        if self._read_until is not None and self._read_until != before.read_until and self._is_in_time():
            sets["x_readUntil"] = number(self._read_until)
        sets |= extra
        if next_owner is _MYSELF:
            if self._is_stopping:
                sets["x_stopping"] = {"BOOL": True}
            return sets | {"leaseOwner": {"S": self._identity.worker}}, frozenset()
        if next_owner is None:
            return sets, frozenset({"leaseOwner", "x_requestedBy", "x_stopping"})
        return sets | {"leaseOwner": {"S": next_owner}}, frozenset({"x_requestedBy", "x_stopping"})

    def _require_trust(self) -> None:
        if not self._over.is_set() and not self.trusted():
            raise LeaseNotTrusted(self._row.key)

    def _renewed(self, row: Lease, write_started: float) -> None:
        self._row = row
        self._renewed_at = write_started
        self._unsure_since = None
