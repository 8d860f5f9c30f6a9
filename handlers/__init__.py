"""The decisions of the export-status processor: pure functions over frozen values.

Nothing here reads a clock, the environment or the network.

- `export`: the record of an export, as an item of the table holds it.
- `envelopes`, `events`: what producers send, read strictly.
- `traces`: the trace that an event belongs to.
- `transitions`: which status may follow which; the outcome of an event; the fold of several events.
- `writes`: the same rules as conditions of DynamoDB writes.
- `expiry`, `audit`: the audit entry that a removed item becomes.
- `masking`, `timestamps`: credentials removed from text; timestamps read and written in one form.

Start with `transitions.decide`: it is the definition that everything else follows.
"""
