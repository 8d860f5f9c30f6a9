"""The ledger closes a wave when it is right, and reports what is missing when its time is over."""

from dataclasses import replace

import pytest

from tests.faults.checker import DeadLetter, Observed
from tests.faults.expected import DeletedByHand, Life, Sent, expected
from tests.faults.perfect_run import ENDS, drawn, perfect, sent_of
from tests.faults.traffic import TTL_SECONDS
from tests.soak.ledger import Ledger

SEED = 5
DUE, DEADLINE = 1_000.0, 2_000.0

Wave = tuple[list[Sent], list[DeletedByHand], Observed]


@pytest.fixture(scope="module")
def wave() -> Wave:
    """A wave in which everything went well."""
    sent, deletions = sent_of(drawn(SEED))
    return sent, deletions, perfect(expected(sent, deletions, TTL_SECONDS))


def filled(wave: Wave, *more: Sent, lacking_entries: int = 0, letters_first: bool = False) -> Ledger:
    """A ledger with that wave and more messages in it, of which some audit entries were not found."""
    sent, deletions, observed = wave
    ledger = Ledger()
    if letters_first:
        ledger.note_letters(observed.dead_letters)
    ledger.open(SEED, len(sent) + len(more), due=DUE, deadline=DEADLINE)
    ledger.note_sent(SEED, [*sent, *more])
    by_hand = {each.request_id: each.at for each in deletions}
    for (key, number), item in observed.items.items():
        if number == 0 and key in by_hand:
            ledger.note_deleted(item, by_hand[key])
    ledger.note_ended(
        {key: item for (key, number), item in observed.items.items() if number == int(key in by_hand)}
    )
    ledger.note_entries(observed.audit[lacking_entries:])
    ledger.note_letters([] if letters_first else observed.dead_letters)
    return ledger


def test_a_good_wave_is_closed_when_it_is_due_and_forgotten(wave: Wave) -> None:
    ledger = filled(wave)
    ledger.close_waves(DUE - 1)
    assert ledger.open_waves == 1
    ledger.close_waves(DUE)
    assert ledger.open_waves == 0
    assert ledger.report.is_clean, ledger.report.details()
    assert (ledger.messages, ledger.exports) == (len(wave[0]), len({key for key, _ in wave[2].items}))


def test_a_wave_that_lacks_an_audit_entry_waits_until_its_deadline(wave: Wave) -> None:
    ledger = filled(wave, lacking_entries=1)
    ledger.close_waves(DEADLINE - 1)
    assert ledger.open_waves == 1
    ledger.close_waves(DEADLINE)
    assert ledger.open_waves == 0
    assert len(ledger.report.missing_audit) == 1


def test_a_wave_is_not_closed_before_all_of_it_was_sent(wave: Wave) -> None:
    ledger = Ledger()
    ledger.open(SEED, 1, due=DUE, deadline=DEADLINE)
    ledger.close_waves(DEADLINE)
    assert ledger.open_waves == 1


def test_repeats_after_the_end_are_allowed_and_anything_new_is_not(wave: Wave) -> None:
    ledger = filled(wave)
    ledger.close_waves(DUE)
    entry, letter = wave[2].audit[0], wave[2].dead_letters[0]
    ledger.note_entries([entry])
    ledger.note_letters([letter])
    ledger.close()
    assert ledger.report.is_clean, ledger.report.details()
    ledger.note_entries([replace(entry, entry={**entry.entry, "auditId": "another"})])
    ledger.note_letters([DeadLetter("body", {"sourceMessageId": "unknown"})])
    ledger.note_ended({str(entry.entry["requestId"]): {"requestId": str(entry.entry["requestId"])}})
    ledger.close()
    assert (len(ledger.report.wrong), len(ledger.report.unexplained)) == (2, 1), ledger.report.details()


def test_a_letter_found_before_its_message_is_known_to_be_sent_is_kept_for_it(wave: Wave) -> None:
    ledger = filled(wave, letters_first=True)
    ledger.close()
    assert ledger.report.is_clean, ledger.report.details()


def test_an_event_that_the_service_met_too_late_is_counted_and_not_called_lost(wave: Wave) -> None:
    lives = expected(wave[0], wave[1], TTL_SECONDS).lives
    request_id, [life] = next(
        (key, found) for key, found in lives.items() if len(found) == 1 and _is_unfinished(found[0])
    )
    event = {"requestId": request_id, "status": "completed", "occurredAt": ENDS.isoformat()}
    ledger = filled(wave, Sent("too-late", life.ends_at - 60, "{}", event))
    ledger.note_expired(["too-late"])
    ledger.close_waves(DUE)
    assert ledger.too_late == 1
    assert ledger.report.is_clean, ledger.report.details()


def test_an_event_that_had_no_effect_and_was_never_called_too_late_is_lost(wave: Wave) -> None:
    lives = expected(wave[0], wave[1], TTL_SECONDS).lives
    request_id, [life] = next(
        (key, found) for key, found in lives.items() if len(found) == 1 and _is_unfinished(found[0])
    )
    event = {"requestId": request_id, "status": "completed", "occurredAt": ENDS.isoformat()}
    ledger = filled(wave, Sent("lost", life.ends_at - 60, "{}", event))
    ledger.close_waves(DEADLINE)
    assert ledger.too_late == 0
    assert len(ledger.report.lost) == 1, ledger.report.details()


def _is_unfinished(life: Life) -> bool:
    return [ending.status for ending in life.endings] == ["processing"]
