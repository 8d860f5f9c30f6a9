"""The command `demo`: `command` runs it and prints the result, `display` shows it live."""
