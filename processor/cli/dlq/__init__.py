"""The command group `dlq`: what was rejected and why, and what to do with it.

- `browser` receives the letters of a queue and makes them visible again at the end.
- `dead_letter` is one letter with its reason.
- `redrive` sends letters back to the event queue.
- `command` has the commands.
"""
