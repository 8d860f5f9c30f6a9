"""A leased consumer of DynamoDB Streams that knows nothing of exports. Its words are KCL's.

Start with `consumer`: it composes the parts and says which threads there are. `record_processor` is the seam
to the user of the engine. `discovery` finds streams and shards and makes their lease rows, `leases` acquires
and renews them, and a `shard_reader` reads the shard of each held lease; `step_pool` runs the readers' steps
in a fixed number of threads, and `page_budget` bounds their memory.

- Lease protocol: every write of a row is conditional on its counter and owner, and raises the counter. A row
  whose counter has not moved for the failover time is free.
- Trust window: a holder trusts its lease from the start of the write that renewed it, for a little less than
  the failover time (docs/invariants.md, law 7).
- Lineage: a child starts after its parent is finished, a later stream after the earlier one (`lineage`).
- Checkpoint order: a checkpoint never passes unfinished work (docs/invariants.md, law 4).
- What AWS does not find is judged in `missing_shard` (docs/invariants.md, law 6).
"""
