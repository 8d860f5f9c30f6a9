"""The demo without its display: real service, emulated AWS, producers, and a comparison at the end.

- `scenario` plans the messages, `producer` sends them, `expectations` works out how each export must end.
- `service_process` runs the real service, `observer` watches the table's stream.
- `board` collects what happens.
- `verdict` compares what happened with the expectations.
- `demonstration` runs all of these; `processor.cli.demo` shows it.
"""
