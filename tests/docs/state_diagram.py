"""State diagrams, generated from the tables of moves.

`python -m tests.docs.state_diagram` prints the README's, `python -m tests.docs.state_diagram reader` that of
docs/architecture.md.
"""

import sys

from handlers.export import Status
from handlers.transitions import MOVES, is_terminal
from processor.streams import shard_reader


def reader_diagram() -> str:
    """The phases of a shard reader in Mermaid's notation."""
    lines = ["stateDiagram-v2", f"    [*] --> {shard_reader.Phase.READING.value}: a lease is acquired"]
    lines += [
        f"    {before.value} --> {after.value}: {why}"
        for before, moves in shard_reader.MOVES.items()
        for after, why in moves.items()
    ]
    return "\n".join([*lines, f"    {shard_reader.Phase.ENDED.value} --> [*]"])


def state_diagram() -> str:
    """The diagram in Mermaid's notation."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {status.value}" for status in Status]
    lines += [
        f"    {before.value} --> {after.value}"
        for before in Status
        for after in Status
        if after in MOVES[before]
    ]
    lines += [f"    {status.value} --> [*]: TTL" for status in Status]
    finals = ", ".join(status.value for status in Status if is_terminal(status))
    return "\n".join([*lines, f"    note right of completed: final are {finals}"])


if __name__ == "__main__":
    print(reader_diagram() if sys.argv[1:] == ["reader"] else state_diagram())
