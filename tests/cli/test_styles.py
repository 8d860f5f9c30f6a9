"""One table of colours for all commands."""

from handlers.export import Status
from handlers.transitions import Outcome
from processor.cli.styles import OUTCOME_STYLES, STATUS_STYLES


def test_every_status_and_every_outcome_has_a_style() -> None:
    assert STATUS_STYLES.keys() == {status.value for status in Status}
    assert OUTCOME_STYLES.keys() == {outcome.value for outcome in Outcome}
