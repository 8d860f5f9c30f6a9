"""FIFO queues: order within a group is kept, also around what is left for later or rejected."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.transitions.fifo import waves
from tests.handlers.making import body, item, text_at
from tests.transitions.rig import message, service_error
from tests.transitions.running import AT_ONCE, Run
from tests.waiting import eventually

CREATED_AT = text_at(0)


def step(request_id: str, status: str, **more: Any) -> str:
    return body(status, requestId=request_id, createdAt=CREATED_AT, **more)


def updates(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """The statuses that were written, in order, by export."""
    return [
        (arguments["Key"]["requestId"]["S"], arguments["ExpressionAttributeValues"][":status"]["S"])
        for name, arguments in calls
        if name == "update_item"
    ]


def test_events_of_a_group_are_applied_in_their_order(run: Run) -> None:
    with run(
        fifo=True,
        before=lambda service: service.send(
            step("x", "pending"),
            step("x", "processing"),
            step("y", "pending"),
            step("x", "completed"),
            group="g",
        ),
    ) as service:
        service.wait_until_empty()
        # Events of one export in a row are folded; another export's event is a step of its own.
        assert updates(service.aws.calls) == [("x", "processing"), ("y", "pending"), ("x", "completed")]
        assert service.item("x") == item("completed", requestId={"S": "x"})
        assert (service.count("Applied"), service.count("Stale")) == (3, 1)


def test_what_follows_a_message_that_was_left_waits_and_other_groups_go_on(run: Run) -> None:
    failing = {"a2"}

    def fail_some(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if arguments["Key"]["requestId"]["S"] in failing:
            raise service_error("TransactionConflictException")
        return method(**arguments)

    with run(
        fifo=True,
        hooks={"update_item": fail_some, **AT_ONCE},
        before=lambda service: (
            service.send(*[step(f"a{number}", "pending") for number in range(1, 5)], group="A"),
            service.send(*[step(f"b{number}", "pending") for number in range(1, 4)], group="B"),
        ),
    ) as service:
        eventually(lambda: all(service.item(f"b{number}") for number in range(1, 4)))
        eventually(lambda: service.count("Retry") >= 2)
        assert service.item("a1") is not None
        assert (service.item("a3"), service.item("a4")) == (None, None)
        failing.clear()
        service.wait_until_empty()
        written = [key for key, _ in updates(service.aws.calls) if key in {"a3", "a4"}]
        assert written == ["a3", "a4"]
        assert service.dead() == []


def test_a_dead_letter_copy_carries_its_group_and_holds_up_nobody(run: Run) -> None:
    without_created_at = body("completed", requestId="x")
    sent: list[str] = []
    with run(
        fifo=True,
        before=lambda service: sent.extend(
            service.send(step("x", "pending"), "poison", without_created_at, step("x", "failed"), group="g")
        ),
    ) as service:
        service.wait_until_empty()
        assert service.item("x") == item("failed", requestId={"S": "x"})
        first, second = service.dead()
    assert (first["body"], second["body"]) == ("poison", without_created_at)
    assert second["rejectionReason"] == (
        "createdAt is required on a FIFO queue for an event that is not pending"
    )
    for copy, message_id in ((first, sent[1]), (second, sent[2])):
        assert copy["rejectionOutcome"] == "invalid"
        assert copy["system"]["MessageGroupId"] == "g"
        assert copy["system"]["MessageDeduplicationId"] == copy["sourceMessageId"] == message_id


def waves_of(*arrived: tuple[str, str, str | None]) -> list[list[str]]:
    """The waves, by message, of a batch of (message, group, export)."""
    made = [message("{}", message_id=name, group_id=group) for name, group, _ in arrived]
    cut = waves(made, {name: export for name, _, export in arrived if export is not None})
    return [[each.message_id for each in wave] for wave in cut]


@pytest.mark.parametrize(
    ("arrived", "cut"),
    [
        ((("a1", "A", "x"), ("a2", "A", "x"), ("b1", "B", "y")), [["a1", "a2", "b1"]]),
        (
            (("a1", "A", "x"), ("a2", "A", "y"), ("a3", "A", "x"), ("b1", "B", "z")),
            [["a1", "b1"], ["a2"], ["a3"]],
        ),
        ((("a1", "A", "x"), ("a2", "A", None), ("a3", "A", None)), [["a1"], ["a2"], ["a3"]]),
    ],
    ids=["one export in a row", "another export of the group", "no event"],
)
def test_in_a_group_another_export_and_a_body_without_an_event_wait(
    arrived: tuple[tuple[str, str, str | None], ...], cut: list[list[str]]
) -> None:
    assert waves_of(*arrived) == cut


@given(st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from(["x", "y", None])), max_size=12))
def test_waves_keep_the_order_of_each_group_and_lose_nothing(arrived: list[tuple[str, str | None]]) -> None:
    named = [(f"m{number}", group, export) for number, (group, export) in enumerate(arrived)]
    cut = waves_of(*named)
    group_of = {name: group for name, group, _ in named}
    for group in "AB":
        in_waves = [name for wave in cut for name in wave if group_of[name] == group]
        assert in_waves == [name for name, its_group, _ in named if its_group == group]
    export_of = {name: export for name, _, export in named}
    for wave in cut:
        for group in "AB":
            assert len({export_of[name] for name in wave if group_of[name] == group}) <= 1
