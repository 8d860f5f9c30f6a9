"""The checker computes what must be there, and finds each thing that is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import Observed, Report, check
from tests.faults.expected import Expected, expected
from tests.faults.perfect_run import (
    drawn,
    entry_of,
    item_of,
    letter_of,
    perfect,
    sent_of,
)
from tests.faults.traffic import TTL_SECONDS

Change = Callable[[Observed, Expected], Observed]


def judged(change: Change) -> Report:
    sent, deletions = sent_of(drawn())
    wanted = expected(sent, deletions, TTL_SECONDS)
    return check(sent, deletions, change(perfect(wanted), wanted), TTL_SECONDS)


def first(observed: Observed) -> tuple[str, int]:
    """A finished export with one life."""
    return next(
        key
        for key, item in observed.items.items()
        if item["status"] == "completed" and (key[0], 1) not in observed.items and key[1] == 0
    )


def changed_item(observed: Observed, **changes: Any) -> Observed:
    key = first(observed)
    return replace(observed, items={**observed.items, key: {**observed.items[key], **changes}})


def changed_entry(observed: Observed, sink: str, **changes: Any) -> Observed:
    request_id, _ = first(observed)
    return replace(
        observed,
        audit=[
            replace(each, entry={**each.entry, **changes})
            if each.sink == sink and each.entry["requestId"] == request_id
            else each
            for each in observed.audit
        ],
    )


def without_first_item(observed: Observed, _: Expected) -> Observed:
    key = first(observed)
    return replace(observed, items={each: item for each, item in observed.items.items() if each != key})


def without_first_entry(sink: str) -> Change:
    def change(observed: Observed, _: Expected) -> Observed:
        request_id, _number = first(observed)
        return replace(
            observed,
            audit=[
                each for each in observed.audit if each.sink != sink or each.entry["requestId"] != request_id
            ],
        )

    return change


def with_item_of_born_dead(observed: Observed, wanted: Expected) -> Observed:
    never = next(request_id for request_id, lives in wanted.lives.items() if not lives)
    item = {**observed.items[first(observed)], "requestId": never}
    return replace(observed, items={**observed.items, (never, 0): item})


def with_second_entry(observed: Observed, _: Expected) -> Observed:
    entry = next(each for each in observed.audit if each.entry["requestId"] == first(observed)[0])
    again = replace(entry, order=9, entry={**entry.entry, "auditId": "another"})
    return replace(observed, audit=[*observed.audit, again])


def with_swapped_order(observed: Observed, _: Expected) -> Observed:
    twice = next(key for key, number in observed.items if number == 1)
    return replace(
        observed,
        audit=[
            replace(each, order=1 - each.order) if each.entry["requestId"] == twice else each
            for each in observed.audit
        ],
    )


def without_letter(outcome: str) -> Change:
    def change(observed: Observed, _: Expected) -> Observed:
        gone = next(each for each in observed.dead_letters if each.attributes["rejectionOutcome"] == outcome)
        return replace(observed, dead_letters=[each for each in observed.dead_letters if each is not gone])

    return change


def with_letter_of_winner(observed: Observed, wanted: Expected) -> Observed:
    losers = {source for each in observed.dead_letters for source in [each.attributes["sourceMessageId"]]}
    source = next(each for each in wanted.bodies if each not in losers)
    letter = letter_of(source, wanted.bodies[source], "conflict")
    return replace(observed, dead_letters=[*observed.dead_letters, letter])


def with_foreign_body(observed: Observed, _: Expected) -> Observed:
    letter, *rest = observed.dead_letters
    return replace(observed, dead_letters=[replace(letter, body="cut"), *rest])


def with_letter_attribute(name: str, text: str) -> Change:
    def change(observed: Observed, _: Expected) -> Observed:
        letter, *rest = observed.dead_letters
        return replace(
            observed,
            dead_letters=[replace(letter, attributes={**letter.attributes, name: text}), *rest],
        )

    return change


@pytest.mark.parametrize("seed", range(20))
def test_a_perfect_run_is_clean(seed: int) -> None:
    sent, deletions = sent_of(drawn(seed))
    observed = perfect(expected(sent, deletions, TTL_SECONDS))
    report = check(sent, deletions, observed, TTL_SECONDS)
    assert report.is_clean, report.details()
    assert report.line() == "lost 0, wrong 0, unexplained dead-letter 0, missing audit 0"


LOST = "lost"
WRONG = "wrong"
UNEXPLAINED = "unexplained dead-letter"
MISSING = "missing audit"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(without_first_item, LOST, id="an item is missing"),
        pytest.param(lambda o, _: changed_item(o, status="processing"), LOST, id="an item is behind"),
        pytest.param(lambda o, _: changed_item(o, fileName="x"), WRONG, id="another fileName"),
        pytest.param(
            lambda o, _: changed_item(o, ttl=o.items[first(o)]["ttl"] + 1),
            WRONG,
            id="a ttl that was extended",
        ),
        pytest.param(lambda o, _: changed_item(o, tenant="a"), WRONG, id="an attribute that has no place"),
        pytest.param(with_item_of_born_dead, WRONG, id="an item that was dead before its first event"),
        pytest.param(without_first_entry("log"), MISSING, id="no entry in one sink"),
        pytest.param(without_first_entry("kinesis"), MISSING, id="no entry in the other sink"),
        pytest.param(with_second_entry, WRONG, id="an entry too many"),
        pytest.param(
            lambda o, _: changed_entry(o, "log", lastStatus="failed"),
            WRONG,
            id="an entry with another status",
        ),
        pytest.param(
            lambda o, _: changed_entry(o, "log", deletedAt="2026-11-22T10:02:08.000Z"),
            WRONG,
            id="two sinks that disagree about one auditId",
        ),
        pytest.param(lambda o, _: changed_entry(o, "log", deletionLagSeconds=-1), WRONG, id="a negative lag"),
        pytest.param(
            lambda o, _: changed_entry(o, "log", actor=None), WRONG, id="an entry without its actor"
        ),
        pytest.param(with_swapped_order, WRONG, id="entries of one export in the wrong order"),
        pytest.param(without_letter("invalid"), LOST, id="poison that is nowhere"),
        pytest.param(without_letter("conflict"), LOST, id="a contradiction that is nowhere"),
        pytest.param(with_letter_of_winner, UNEXPLAINED, id="a good message among the dead letters"),
        pytest.param(with_foreign_body, UNEXPLAINED, id="a dead letter with another body"),
        pytest.param(
            with_letter_attribute("rejectionOutcome", "early"),
            UNEXPLAINED,
            id="a dead letter's other outcome",
        ),
        pytest.param(with_letter_attribute("rejectionReason", "ü"), WRONG, id="a reason that is not ASCII"),
        pytest.param(with_letter_attribute("receiveCount", "0"), WRONG, id="a letter received zero times"),
        pytest.param(lambda o, _: replace(o, left_in_queue=1), LOST, id="a message left in the queue"),
        pytest.param(lambda o, _: replace(o, left_in_table=["a"]), WRONG, id="an item left in the table"),
    ],
)
def test_the_checker_sees(change: Change, kind: str) -> None:
    report = judged(change)
    assert [each for each in report.details() if each.startswith(f"{kind}: ")], report.line()


def test_repeats_of_an_entry_and_of_a_dead_letter_are_no_finding() -> None:
    def twice(observed: Observed, _: Expected) -> Observed:
        return replace(
            observed,
            audit=[*observed.audit, *observed.audit],
            dead_letters=[*observed.dead_letters, *observed.dead_letters],
        )

    assert judged(twice).is_clean


def test_of_two_contradicting_ends_either_may_stand() -> None:
    def the_other(observed: Observed, wanted: Expected) -> Observed:
        key, life = next(
            (key, lives[0]) for key, lives in wanted.lives.items() if lives and len(lives[0].endings) == 2
        )
        before, after = life.endings
        entry = entry_of(after, f"{key}/0", expired=True)
        return replace(
            observed,
            items={**observed.items, (key, 0): item_of(after)},
            audit=[
                replace(each, entry=entry) if each.entry["requestId"] == key else each
                for each in observed.audit
            ],
            dead_letters=[
                *(
                    each
                    for each in observed.dead_letters
                    if each.attributes["sourceMessageId"] not in before.losers
                ),
                *(letter_of(source, wanted.bodies[source], "conflict") for source in after.losers),
            ],
        )

    report = judged(the_other)
    assert report.is_clean, report.details()


def test_the_same_seed_draws_the_same_traffic() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
