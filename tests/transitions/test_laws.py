"""docs/invariants.md, laws 1 and 2: order, grouping, repetition and clocks do not change how an export ends.

The real applier runs on a model of the table that executes each write's own condition.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.transitions import Outcome
from tests.handlers.making import SIGNED_URL, TTL_SECONDS, at, body, item, text_at
from tests.transitions.rig import Clock, Scripted, applier_on, deliver, delivery, settle, timeout
from tests.transitions.world.table import SimulatedDynamoDb

STEPS = ["pending", "processing", "processing", "completed"]
TIMES = {"pending": 0, "processing": 2, "completed": 3, "failed": 3}


def cuts(sequence: Sequence[Any]) -> list[list[Sequence[Any]]]:
    """Every way to cut a sequence into batches."""
    ways = []
    for marks in itertools.product([False, True], repeat=len(sequence) - 1):
        borders = [0, *(place + 1 for place, mark in enumerate(marks) if mark), len(sequence)]
        ways.append([sequence[start:end] for start, end in itertools.pairwise(borders)])
    return ways


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
@pytest.mark.parametrize("created_at", [None, text_at(0)], ids=["createdAt unsaid", "createdAt said"])
def test_all_24_orders_cut_in_every_way_end_in_the_same_item(
    order: tuple[int, ...], created_at: str | None
) -> None:
    for named in (None, *range(4)):
        bodies = [
            body(
                status,
                occurredAt=text_at(TIMES[status]),
                createdAt=created_at,
                fileName="report.csv" if index == named else None,
                signedUrl=SIGNED_URL if status == "completed" else None,
            )
            for index, status in enumerate(STEPS)
        ]
        end = item("completed", updatedAt={"S": text_at(3)}, signedUrl={"S": SIGNED_URL})
        if named is not None:
            end["fileName"] = {"S": "report.csv"}
        for batches in cuts(order):
            client = SimulatedDynamoDb()
            applier = applier_on(client, "table", Clock())
            settle(applier, [[delivery(bodies[index]) for index in batch] for batch in batches])
            assert client.table.items == {"req-1": end}, batches


@st.composite
def one_export(draw: st.DrawFn, request_id: str) -> tuple[list[str], dict[str, Any] | None]:
    """Events of one export that agree with each other, with repeats, in any order; and how it must end."""
    terminal = draw(st.sampled_from(["completed", "failed"]))
    statuses = draw(st.lists(st.sampled_from(["pending", "processing", terminal]), min_size=1, max_size=6))
    details = {"fileName": "report.csv", "createdAt": text_at(0)}
    own = {"completed": {"signedUrl": SIGNED_URL}, "failed": {"error": "disk full"}}
    bodies, said = [], dict[str, str]()
    for status in statuses:
        offered = details | own.get(status, {})
        shown = {name: text for name, text in offered.items() if draw(st.booleans())}
        if status == "pending":
            said |= {"createdAt": text_at(0)}
        said |= shown
        bodies.append(body(status, requestId=request_id, occurredAt=text_at(TIMES[status]), **shown))
    if "createdAt" not in said:
        return bodies, None
    highest = max(statuses, key=lambda status: TIMES[status])
    end = item(
        highest,
        requestId={"S": request_id},
        updatedAt={"S": text_at(TIMES[highest])},
        **{name: {"S": said[name]} for name in ("fileName", *own.get(highest, {})) if name in said},
    )
    return bodies, end


@st.composite
def traffic(draw: st.DrawFn) -> tuple[list[list[str]], dict[str, dict[str, Any]]]:
    """Events of up to three exports, mixed and cut into batches; and how the table must end."""
    exports = [draw(one_export(f"req-{number}")) for number in range(draw(st.integers(1, 3)))]
    batches = draw(mixed([text for bodies, _ in exports for text in bodies]))
    return batches, {end["requestId"]["S"]: end for _, end in exports if end is not None}


@st.composite
def mixed(draw: st.DrawFn, bodies: list[str]) -> list[list[str]]:
    """The bodies in any order, cut into batches."""
    order = draw(st.permutations(bodies))
    marks = draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    batches: list[list[str]] = [[]]
    for text, mark in zip(order, marks, strict=True):
        if mark and batches[-1]:
            batches.append([])
        batches[-1].append(text)
    return batches


@st.composite
def contradictions(draw: st.DrawFn) -> list[list[str]]:
    """Events of up to two exports that are both completed and failed, and do not agree on the file's name."""
    bodies = []
    for number in range(draw(st.integers(1, 2))):
        times = {**TIMES, "failed": draw(st.sampled_from([2.5, 3, 3.5]))}
        more = draw(st.lists(st.sampled_from(list(times)), max_size=4))
        for status in ("completed", "failed", *more):
            names = st.sampled_from(["report.csv", "another.csv"])
            offered = {"fileName": draw(names), "createdAt": text_at(0)}
            if status == "completed":
                offered["signedUrl"] = SIGNED_URL
            shown = {name: text for name, text in offered.items() if draw(st.booleans())}
            bodies.append(body(status, requestId=f"req-{number}", occurredAt=text_at(times[status]), **shown))
    return draw(mixed(bodies))


@given(traffic())
def test_order_grouping_and_repetition_do_not_matter(
    sent: tuple[list[list[str]], dict[str, dict[str, Any]]],
) -> None:
    batches, end = sent
    client = SimulatedDynamoDb()
    applier = applier_on(client, "table", Clock())
    deliveries = [[delivery(text) for text in batch] for batch in batches]
    outcomes = settle(applier, deliveries)
    assert client.table.items == end
    assert set(outcomes) <= {Outcome.APPLIED, Outcome.DUPLICATE, Outcome.STALE, Outcome.EARLY}
    # At most one message of a batch and export is applied, and every item was begun by one.
    assert outcomes.count(Outcome.APPLIED) >= len(end)
    client.on_write = lambda _key, old, new: pytest.fail(
        f"a second delivery of everything: {old} became {new}"
    )
    assert set(settle(applier, deliveries)) <= {Outcome.DUPLICATE, Outcome.STALE, Outcome.EARLY}


FAULTS = st.lists(st.sampled_from([None, None, None, timeout(), ("after", timeout())]), max_size=12)


@given(traffic(), FAULTS)
def test_lost_answers_and_failed_calls_change_nothing_in_the_end(
    sent: tuple[list[list[str]], dict[str, dict[str, Any]]], faults: list[Any]
) -> None:
    batches, end = sent
    client = SimulatedDynamoDb()
    deliveries = [[delivery(text) for text in batch] for batch in batches]
    settle(applier_on(Scripted(client, *faults, only="update_item"), "table", Clock()), deliveries)
    settle(applier_on(client, "table", Clock()), deliveries)  # SQS delivers everything once more
    assert client.table.items == end


@st.composite
def clocked_traffic(draw: st.DrawFn) -> list[tuple[float, bool, list[str]]]:
    """Batches with the time at which each arrives, and whether TTL has deleted by then what was dead."""
    batches, _ = draw(traffic())
    # The last whole seconds around the end of the exports' life are the ones that matter.
    times = sorted(draw(st.sampled_from([60, 898, 899.5, 900, 900.5, 901, 2_000])) for _ in batches)
    return [(time, draw(st.booleans()), batch) for time, batch in zip(times, batches, strict=True)]


@given(clocked_traffic(), st.lists(st.sampled_from([0, 0, 0.25, 1, 3]), max_size=20), FAULTS)
def test_nothing_dead_is_touched_and_nothing_comes_back_to_life(
    sent: list[tuple[float, bool, list[str]]], delays: list[float], faults: list[Any]
) -> None:
    clock = TickingClock(delays)
    client = SimulatedDynamoDb()
    applier = applier_on(Scripted(client, *faults, only="update_item"), "table", clock)

    def watch(_key: str, old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> None:
        assert new["ttl"] == {"N": str(int(at(TTL_SECONDS).timestamp()))}
        if old is not None:
            assert (new["ttl"], new["createdAt"]) == (old["ttl"], old["createdAt"])
        assert int(new["ttl"]["N"]) > clock.told.timestamp(), "written after its end"

    client.on_write = watch
    for seconds, deleted, batch in sent:
        clock.seconds = max(clock.seconds, seconds)
        if deleted and clock.seconds >= TTL_SECONDS:
            client.table.items.clear()
        deliver(applier, [delivery(text, now=at(clock.seconds)) for text in batch])


class TickingClock(Clock):
    """Moves on by the given delays, one each time that somebody looks."""

    def __init__(self, delays: Sequence[float]) -> None:
        super().__init__()
        self._delays = iter(delays)
        self.told = at(0)

    def __call__(self) -> Any:
        """The time, which is later for the next one who looks."""
        self.told = super().__call__()
        self.seconds += next(self._delays, 0)
        return self.told


@pytest.mark.parametrize("terminal", ["completed", "failed"])
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
def test_of_two_terminal_statuses_the_first_stands_and_the_other_is_a_conflict(
    terminal: str, *, together: bool
) -> None:
    other = "failed" if terminal == "completed" else "completed"
    first = delivery(body(terminal, createdAt=text_at(0), occurredAt=text_at(3)))
    second = delivery(body(other, createdAt=text_at(0), occurredAt=text_at(4)))
    client = SimulatedDynamoDb()
    applier = applier_on(client, "table", Clock())
    batches = [[second, first]] if together else [[first], [second]]
    settle(applier, batches)
    results = deliver(applier, [second])
    assert results[second[0].message_id].outcome is Outcome.CONFLICT
    assert client.table.items == {"req-1": item(terminal, updatedAt={"S": text_at(3)})}
