"""The command `demo`: `command` runs it, `display` shows it live, `report` prints the result."""
