"""The decisions of the export-status processor: pure functions over frozen values.

Nothing here reads a clock, the environment or the network. `export` is the record, `events` what
producers send, `transitions` the life of an export, `expiry` and `audit` what its end is turned into.
"""
