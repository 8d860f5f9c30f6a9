"""One table of colours for all commands, and the demo's lines fit 80 columns."""

import io

import pytest
from rich.console import Console

from handlers.export import Status
from handlers.transitions import Outcome
from processor.cli.demo.display import PlainDisplay
from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES
from processor.demo.board import Board

COLUMNS = 80


def test_every_status_and_every_outcome_has_a_style() -> None:
    assert STATUS_STYLES.keys() == {status.value for status in Status}
    assert OUTCOME_STYLES.keys() == {outcome.value for outcome in Outcome}


@pytest.mark.parametrize("status", [status.value for status in Status])
def test_a_plain_line_of_the_demo_about_an_audit_entry_fits_80_columns(status: str) -> None:
    entry = {
        "requestId": "export-0047-2cb2",
        "lastStatus": status,
        "finished": False,
        "deletionLagSeconds": 9_999,
    }
    shown = io.StringIO()
    PlainDisplay(Console(file=shown), Board(audit_lines=[entry])).show()
    (line,) = shown.getvalue().splitlines()
    assert line.endswith(f"  export-0047-2cb2  audited     as {status}, unfinished, 9999 s late")
    assert len(line) <= COLUMNS
