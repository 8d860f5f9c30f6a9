"""The checker computes what must be there, and finds each thing that is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.checker import DeadLetter, Delivered, Observed, Report, check
from tests.faults.expected import DeletedByHand, Expected, Life, Sent, Value, expected
from tests.faults.traffic import TTL_SECONDS, Traffic, traffic

BEGINS = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
ENDS = datetime(2026, 11, 22, 10, 2, tzinfo=UTC)
SINKS = ("kinesis", "log")
TTL_ACTOR = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def drawn(seed: int = 5) -> Traffic:
    return traffic(seed=seed, exports=120, messages=480, seconds=20, begins=BEGINS, ends=ENDS)


def sent_of(planned: Traffic) -> tuple[list[Sent], list[DeletedByHand]]:
    """The traffic as it was sent, without delay."""
    begin, end = BEGINS.timestamp(), ENDS.timestamp()
    timed = [
        *((begin + each.after_seconds, each) for each in planned.timely),
        *((begin + 60, each) for each in planned.retold.values()),
        *((end + 3 + each.after_seconds, each) for each in planned.late),
    ]
    sent = [Sent(f"message-{n}", at, each.body, each.event) for n, (at, each) in enumerate(timed)]
    return sent, [DeletedByHand(key, begin + 50) for key in planned.retold]


def value(allowed: frozenset[Value]) -> Value:
    """One of the values that are allowed."""
    return min(allowed, key=repr)


def perfect(wanted: Expected, ending: int = 0) -> Observed:
    """What a run leaves behind in which nothing went wrong; of several endings the one with this index."""
    items: dict[tuple[str, int], dict[str, Any]] = {}
    audit: list[Delivered] = []
    letters = [letter_of(source, body, "invalid") for source, body in wanted.poison.items()]
    for request_id, lives in wanted.lives.items():
        for number, life in enumerate(lives):
            end = life.endings[ending]
            item = {name: value(allowed) for name, allowed in end.item.items()}
            item["ttl"] = int(datetime.fromisoformat(str(item["createdAt"])).timestamp()) + TTL_SECONDS
            items[request_id, number] = {name: each for name, each in item.items() if each is not None}
            for sink in SINKS:
                entry = {name: value(allowed) for name, allowed in end.audit.items()}
                audit.append(Delivered(sink, number, entry | removal(life, f"{request_id}/{number}")))
            letters += [letter_of(source, wanted.bodies[source], "conflict") for source in end.losers]
    return Observed(items=items, dead_letters=letters, audit=audit, sinks=SINKS)


def removal(life: Life, audit_id: str) -> dict[str, Any]:
    """What an entry holds about the removal of the item."""
    expired = life.action == "export.expired"
    return {
        "schemaVersion": 1,
        "auditId": audit_id,
        "action": life.action,
        "deletedAt": "2026-11-22T10:02:07.000Z",
        "deletionLagSeconds": 3 if expired else None,
        "actor": TTL_ACTOR if expired else None,
        "source": dict.fromkeys(("table", "region", "streamArn", "shardId", "sequenceNumber"), "s"),
    }


def letter_of(source: str, body: str, outcome: str) -> DeadLetter:
    return DeadLetter(
        body,
        {
            "rejectionOutcome": outcome,
            "rejectionReason": "status must be one of four",
            "sourceMessageId": source,
            "receiveCount": "1",
            "rejectedAt": "2026-11-22T10:00:07.000Z",
        },
    )


def judged(change: Callable[[Any, Expected], object], seed: int = 5, ending: int = 0) -> Report:
    """The report on a perfect run after a change, which gives another run or changes the one it gets."""
    sent, deletions = sent_of(drawn(seed))
    wanted = expected(sent, deletions, TTL_SECONDS)
    observed = perfect(wanted, ending)
    changed = change(observed, wanted)
    return check(sent, deletions, changed if isinstance(changed, Observed) else observed, TTL_SECONDS)


@pytest.mark.parametrize("ending", [0, -1], ids=["the first of two endings", "the last"])
@pytest.mark.parametrize("seed", range(10))
def test_a_perfect_run_is_clean(seed: int, ending: int) -> None:
    report = judged(lambda *_: None, seed, ending)
    assert report.is_clean, report.details()
    assert report.line() == "lost 0, wrong 0, unexplained dead-letter 0, missing audit 0"


def test_repeats_of_an_entry_and_of_a_dead_letter_are_no_finding() -> None:
    assert judged(lambda o, _: replace(o, audit=o.audit * 2, dead_letters=o.dead_letters * 2)).is_clean


def first(o: Any) -> tuple[str, int]:
    """A finished export with one life."""
    return next(
        (key, life)
        for (key, life), item in o.items.items()
        if item["status"] == "completed" and (key, 1) not in o.items
    )


def item(o: Any) -> Any:
    """Its item."""
    return o.items[first(o)]


def entry(o: Any, sink: str = "log") -> Any:
    """Its audit entry in a sink."""
    return next(each for each in o.audit if (each.sink, each.entry["requestId"]) == (sink, first(o)[0]))


def letter(o: Any, outcome: str = "invalid") -> Any:
    """The first dead letter with this outcome."""
    return next(each for each in o.dead_letters if each.attributes["rejectionOutcome"] == outcome)


def add_item_of_born_dead(o: Any, wanted: Expected) -> None:
    never = next(request_id for request_id, lives in wanted.lives.items() if not lives)
    o.items[never, 0] = item(o) | {"requestId": never}


def swap_order(o: Any, _: Expected) -> None:
    twice = next(key for key, life in o.items if life == 1)
    for place, each in enumerate(o.audit):
        if each.entry["requestId"] == twice:
            o.audit[place] = replace(each, order=1 - each.order)


def add_letter_of_winner(o: Any, wanted: Expected) -> None:
    losers = {each.attributes["sourceMessageId"] for each in o.dead_letters}
    source = next(each for each in wanted.bodies if each not in losers)
    o.dead_letters.append(letter_of(source, wanted.bodies[source], "conflict"))


SEEN: dict[str, tuple[str, Callable[[Any, Expected], object]]] = {
    "an item is missing": ("lost", lambda o, _: o.items.pop(first(o))),
    "an item is behind": ("lost", lambda o, _: item(o).update(status="processing")),
    "another fileName": ("wrong", lambda o, _: item(o).update(fileName="x")),
    "a ttl that was extended": ("wrong", lambda o, _: item(o).update(ttl=item(o)["ttl"] + 1)),
    "an attribute that has no place": ("wrong", lambda o, _: item(o).update(tenant="a")),
    "an item that was dead before its first event": ("wrong", add_item_of_born_dead),
    "no entry in one sink": ("missing audit", lambda o, _: o.audit.remove(entry(o, "log"))),
    "no entry in the other sink": ("missing audit", lambda o, _: o.audit.remove(entry(o, "kinesis"))),
    "an entry too many": (
        "wrong",
        lambda o, _: o.audit.append(replace(entry(o), entry=entry(o).entry | {"auditId": "another"})),
    ),
    "an entry with another status": ("wrong", lambda o, _: entry(o).entry.update(lastStatus="failed")),
    "two sinks that disagree about one auditId": (
        "wrong",
        lambda o, _: entry(o).entry.update(deletedAt="2026-11-22T10:02:08.000Z"),
    ),
    "a negative lag": ("wrong", lambda o, _: entry(o).entry.update(deletionLagSeconds=-1)),
    "an entry without its actor": ("wrong", lambda o, _: entry(o).entry.update(actor=None)),
    "entries of one export in the wrong order": ("wrong", swap_order),
    "poison that is nowhere": ("lost", lambda o, _: o.dead_letters.remove(letter(o))),
    "a contradiction that is nowhere": (
        "lost",
        lambda o, _: o.dead_letters.remove(letter(o, "conflict")),
    ),
    "a good message among the dead letters": ("unexplained dead-letter", add_letter_of_winner),
    "a dead letter with another body": (
        "unexplained dead-letter",
        lambda o, _: o.dead_letters.append(replace(letter(o), body="cut")),
    ),
    "a dead letter's other outcome": (
        "unexplained dead-letter",
        lambda o, _: letter(o).attributes.update(rejectionOutcome="early"),
    ),
    "a reason that is not ASCII": ("wrong", lambda o, _: letter(o).attributes.update(rejectionReason="ü")),
    "a letter received zero times": ("wrong", lambda o, _: letter(o).attributes.update(receiveCount="0")),
    "a message left in the queue": ("lost", lambda o, _: replace(o, left_in_queue=1)),
    "an item left in the table": ("wrong", lambda o, _: replace(o, left_in_table=["a"])),
}


@pytest.mark.parametrize(("kind", "change"), SEEN.values(), ids=SEEN)
def test_the_checker_sees(kind: str, change: Callable[[Any, Expected], object]) -> None:
    report = judged(change)
    assert [each for each in report.details() if each.startswith(f"{kind}: ")], report.line()


def test_the_same_seed_draws_the_same_traffic() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
