"""The command group `audit`: `command` has the commands, `output` prints entries."""
