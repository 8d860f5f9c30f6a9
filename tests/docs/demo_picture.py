"""Takes the picture of the live demo for the README: `make demo-svg` runs it.

It runs the demo, takes the picture while exports are in all states, and writes it only if the demo passes.
"""

import io
import re
import sys
from threading import Event

from rich.console import Console

from handlers.export import Status
from processor.cli.demo.command import FRAME_SECONDS
from processor.cli.demo.display import LiveDisplay
from processor.demo.board import Board
from processor.demo.demonstration import Demonstration
from tests.docs.markdown import ROOT

PICTURE = ROOT / "docs" / "demo.svg"
COLUMNS, LINES = 96, 30
MIN_AUDIT_ENTRIES = 4
EXPORTS, TTL_SECONDS, SEED = 120, 12, 1
_REMOTE_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def is_worth_a_picture(board: Board) -> bool:
    """Whether exports are in all states, and some entries have been audited."""
    living = {export.status for export in board.exports.values() if not export.removed}
    return len(living) == len(Status) and len(board.audit_entries) >= MIN_AUDIT_ENTRIES


def main() -> int:
    """Runs the demo; the exit status is 1 if it fails or never looks like this."""
    console = Console(
        record=True,
        width=COLUMNS,
        height=LINES,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    pause, done = Event(), False
    with Demonstration(exports=EXPORTS, ttl_seconds=TTL_SECONDS, seed=SEED) as demonstration:
        display = LiveDisplay(console, demonstration.board, ttl_seconds=TTL_SECONDS, seed=SEED)
        demonstration.start(display.phase)
        while not demonstration.is_over():
            if not done and is_worth_a_picture(demonstration.board):
                console.print(display.picture())
                done = True
            pause.wait(FRAME_SECONDS)
        passed = not demonstration.judge().failed
    if not (done and passed):
        return 1
    picture = console.export_svg(title="make demo", unique_id="demo")
    lines = [line.rstrip() for line in _REMOTE_FONTS.sub("", picture).splitlines()]
    PICTURE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
