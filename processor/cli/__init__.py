"""The command line `export-status`.

`app` is the entry point: it knows each command by name and imports its module when it is used. A command is
a module here, or a folder: `check/`, `dlq/`, `audit/`, `demo/`. They share:

- `errors`: exit statuses and the one line on standard error.
- `session`: settings, AWS clients and retries.
- `output`, `styles`: JSON lines, safe text, progress bars, colours.
- `durations`, `exports`, `sending`, `signals`: what two commands or more need.

docs/contract.md, section 6, lists what each command promises. Start at `app.main`.
"""
