"""The command `why`: what is known of one export, and what to do.

- `lookup` asks the table, the dead-letter queue, the audit stream and the log group.
- `known` holds the answers; `advice` makes one sentence of them.
- `command` prints both.
"""
