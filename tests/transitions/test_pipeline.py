"""The pipeline from queue to table and dead-letter queue, on the embedded AWS."""

import threading
from typing import Any

from tests.handlers.making import SIGNED_URL, body, item, text_at
from tests.transitions.running import AT_ONCE, Make, Run, Running
from tests.waiting import eventually

CREATED_AT = text_at(0)

POISON = {
    "not JSON": "the body must be JSON",
    "[" * 200_000: "the body must not be nested so deeply",
    '{"requestId":"p","error":"\\ud800"}': "error must not hold a lone surrogate in the body",
    body(requestId="p", occurredAt=None): "occurredAt is required",
    body("failed", requestId="p", signedUrl=SIGNED_URL): "signedUrl is allowed only with status completed",
}


def test_poison_is_dead_lettered_with_its_reason_and_costs_its_neighbours_nothing(run: Run) -> None:
    good = [body(requestId=f"r{number}") for number in range(5)]
    ids: list[str] = []

    def send(service: Running) -> None:  # a batch has 256 KiB at most
        ids.extend(service.send(*good[:3], "not JSON", *good[3:]) + service.send([*POISON][1]))
        ids.extend(service.send(*[*POISON][2:]))

    with run(before=send) as service:
        service.wait_until_empty()
        assert all(service.item(f"r{number}") is not None for number in range(5))
        copies = service.dead()
        totals = [service.count(name) for name in ("Applied", "Invalid", "DeadLettered")]
        assert totals == [5, len(POISON), len(POISON)]
    assert {copy["body"]: copy["rejectionReason"] for copy in copies} == POISON
    assert {copy["sourceMessageId"] for copy in copies} == {ids[3], *ids[6:]}
    assert {copy["rejectedAt"] for copy in copies} == {"2026-11-22T10:01:00.000Z"}
    assert {(copy["rejectionOutcome"], copy["receiveCount"]) for copy in copies} == {("invalid", "1")}


def test_orders_repeats_and_contradictions_end_as_the_contract_says(run: Run, logged: list[Any]) -> None:
    bodies = [
        body("completed", createdAt=CREATED_AT, occurredAt=text_at(3), signedUrl=SIGNED_URL),
        body("pending", occurredAt=CREATED_AT),
        body("processing", createdAt=CREATED_AT, occurredAt=text_at(2), fileName="f"),
        body("completed", createdAt=CREATED_AT, occurredAt=text_at(3), signedUrl=SIGNED_URL),
        body("failed", occurredAt=text_at(4), error=f"no answer from {SIGNED_URL}"),
    ]
    with run() as service:
        for text in bodies:
            service.send(text)
            service.wait_until_empty()
        assert service.item() == item(
            "completed", updatedAt={"S": text_at(3)}, fileName={"S": "f"}, signedUrl={"S": SIGNED_URL}
        )
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"]) == (bodies[-1], "conflict")
        assert copy["rejectionReason"] == "status contradicts the terminal status that was recorded first"
    outcomes = [(line["outcome"], line["log_level"]) for line in logged if line["event"] == "event_outcome"]
    quiet = [(outcome, "debug") for outcome in ("applied", "stale", "stale", "duplicate")]
    assert outcomes == [*quiet, ("conflict", "warning")]


def test_the_last_receive_dead_letters_an_early_event_with_its_outcome(run: Run) -> None:
    text = body("completed")
    with run(text, max_receive_count=2, hooks=AT_ONCE) as service:
        service.wait_until_empty()
        [copy] = service.dead()
        assert (copy["body"], copy["rejectionOutcome"], copy["receiveCount"]) == (text, "early", "2")
        assert copy["rejectionReason"] == "createdAt is missing and no item exists yet"
        assert service.item() is None
        assert service.count("Early") == 2


def test_an_early_event_waits_for_its_first_one_and_is_applied_then(run: Run) -> None:
    name = "change_message_visibility_batch"
    # It comes back at once, many times until its first event is applied.
    with run(body("completed", fileName="f"), hooks=AT_ONCE, max_receive_count=1_000) as service:
        eventually(lambda: service.operations()[name] >= 2)
        assert service.item() is None
        service.send(body("pending", occurredAt=CREATED_AT))
        service.wait_until_empty()
        assert service.item() == item("completed", fileName={"S": "f"})
        assert service.dead() == []
        back_offs = [
            asked["Entries"][0]["VisibilityTimeout"] for call, asked in service.aws.calls if call == name
        ]
        assert back_offs[0] in {1, 2}, "it is received again after 2 s at most"


def test_many_receivers_share_a_queue_and_each_event_has_one_effect(run: Run) -> None:
    bodies = [
        body(status, requestId=f"r{number}", createdAt=CREATED_AT, occurredAt=text_at(when))
        for status, when in (("completed", 3), ("pending", 0), ("processing", 2), ("completed", 3))
        for number in range(25)
    ]
    with run(*bodies, settings={"EXPORT_RECEIVERS": "8"}) as service:
        service.wait_until_empty()
        for number in range(25):
            assert service.item(f"r{number}") == item(
                "completed", requestId={"S": f"r{number}"}, updatedAt={"S": text_at(3)}
            )
        assert service.dead() == []
        # Whoever comes second is told so by the condition.
        assert service.count("Retry") == service.count("Conflict") == 0
        assert 25 <= service.count("Applied") <= 75


# Stop


def test_stop_and_join_may_come_before_start_and_twice(make: Make, run: Run) -> None:
    never_started = make()
    assert never_started.pipeline.join().clean
    assert never_started.stop()
    assert never_started.stop()
    never_started.start()
    never_started.send(body())
    assert never_started.pipeline.join().clean
    assert never_started.left() == 1, "what is stopped before it starts receives nothing"
    with run() as service:
        waiter = threading.Thread(target=service.pipeline.join)
        waiter.start()
        assert service.stop()
        assert service.stop()
        waiter.join(60)
        assert not waiter.is_alive(), "a join without a stop waits for it"
