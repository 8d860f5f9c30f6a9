"""The README's state diagram, generated from the table of moves: `python -m tests.docs.state_diagram`."""

from handlers.export import Status
from handlers.transitions import MOVES, is_terminal


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
    print(state_diagram())
