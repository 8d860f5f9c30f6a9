"""The command group `dlq`: what was rejected and why, and what to do with it.

- `browser` receives the letters of a queue and makes them visible again at the end.
- `dead_letter` is one letter with its reason.
- `queue` has what the commands share.
- `redrive` sends letters back to the event queue, `save` writes them to a file, `drop` removes them.
- `command` has the group with its command `list`.
"""
