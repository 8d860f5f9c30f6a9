"""The command group `audit`: `command` has the commands, `output` and `lines` print entries."""
