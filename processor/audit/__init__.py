"""The audit half: REMOVE records of the table's stream become audit entries in every sink.

`processor.streams` reads the stream and holds the leases; this package is its record processor. A page takes
this way:

1. `removals` makes an entry of each REMOVE record.
2. `delivery` brings the entries to every sink, and what a sink refuses to the `quarantine`.
3. `sinks` holds the sinks: `log` writes lines, `kinesis` puts KPL-aggregated records, which `kpl` packs.

Work continues where it stopped: a sink does not get again what it has acknowledged. The checkpoint moves only
behind records whose entries every sink or the quarantine has (docs/invariants.md, law 4).

`pipeline` composes all of it for the service. Two commands use the parts without leases: `replay` puts the
entries of the last 24 hours again, and `tail` reads the Kinesis stream. Start reading at `removals`.
"""
