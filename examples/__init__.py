"""How other services talk to export-status: producers of events, and a reader of the table."""
