"""What a batch does not settle by itself, and what it costs."""

from collections.abc import Callable
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.transitions.applier import Applier
from processor.transitions.status_table import Failed, Late, NotTried, Written
from tests.handlers.making import at, body, item, text_at
from tests.resources import ClientFactory, status_table
from tests.transitions.rig import (
    FAR_DEADLINE,
    Clock,
    Scripted,
    Store,
    applier_on,
    batches,
    change,
    deliver,
    delivery,
    outcomes,
    service_error,
    status_table_on,
    timeout,
    writer_on,
)
from tests.transitions.running import Run
from tests.transitions.test_write_modes import BATCH, WRITTEN
from tests.transitions.world.table import SimulatedDynamoDb

CREATED_AT = text_at(0)


def in_batches(store: Store, *answers: Any, client: Any = None) -> tuple[Scripted, Applier]:
    """An applier that writes in batches, and its client, whose batches are answered so."""
    client = batches(client or store.client, *answers)
    return client, applier_on(client, store.table, mode="batch")


def test_a_batch_is_not_tried_again_after_the_deadline(store: Store) -> None:
    """A call that is not answered takes five seconds; the deadline is in seven."""
    client = batches(store.client, *[timeout()] * 9)
    table = status_table_on(client, store.table, monotonic=lambda: 5.0 * len(client.calls))
    answers = writer_on(table).write([change(), change(requestId="other")], 7.0)
    assert all(isinstance(answer, Failed) for answer in answers)
    assert client.count(BATCH) == 2


@pytest.mark.parametrize("error", [timeout(), service_error("InternalServerError", 500)], ids=str)
def test_while_batches_get_no_answer_and_update_item_works_every_event_is_applied(error: Exception) -> None:
    client = batches(SimulatedDynamoDb(), *[error] * 9)
    bodies = [delivery(body(requestId=f"r{number}")) for number in range(60)]
    results, outage = applier_on(client, "t", mode="batch").apply(bodies, FAR_DEADLINE)
    assert [result.outcome for result in results] == [Outcome.APPLIED] * 60
    assert outage is None
    assert client.count(BATCH) == 3, "one batch's tries, not each batch's"
    assert client.count("update_item") == 60


@pytest.mark.parametrize(
    ("deadline", "error", "calls"),
    [
        (FAR_DEADLINE, "UpdateItem", (3, 3)),
        (12.0, "BatchExecuteStatement", (3, 0)),
        (17.0, "UpdateItem", (3, 1)),
    ],
)
def test_a_silent_table_costs_a_few_calls_and_none_after_the_deadline(
    deadline: float, error: str, calls: tuple[int, int]
) -> None:
    """A call that is not answered takes five seconds."""
    client = Scripted(None, *[timeout()] * 9)
    applier = applier_on(client, "t", mode="batch", monotonic=lambda: 5.0 * len(client.calls))
    bodies = [delivery(body(requestId=f"r{number}")) for number in range(60)]
    results, outage = applier.apply(bodies, deadline)
    assert [result.outcome for result in results] == [Outcome.RETRY] * 60
    assert str(outage) == f"{error}: ReadTimeoutError"
    assert (client.count(BATCH), client.count("update_item")) == calls


def test_a_change_whose_end_comes_between_two_tries_of_a_batch_is_late_and_not_sent_again(
    clock: Clock,
) -> None:
    client = Scripted(None, timeout(), [WRITTEN])
    client.before_call = lambda: setattr(clock, "seconds", 950)  # when the end of the older export comes
    older = change(requestId="older", occurredAt=text_at(0))
    younger = change(requestId="younger", occurredAt=text_at(100))
    writer = writer_on(status_table_on(client, "t", clock))
    assert older.ttl is not None
    assert writer.write([older, younger], FAR_DEADLINE) == [Late(older.ttl), Written()]
    assert client.calls == [BATCH] * 2
    assert [len(asked["Statements"]) for asked in client.requests] == [2, 1]
    assert "younger" in str(client.requests[1])


CODES = [
    "ThrottlingError",
    "TransactionConflict",
    "InternalServerError",
    "ValidationError",
    "AccessDenied",
    "New",
]


@pytest.mark.parametrize(
    "answer",
    [
        *[[{"Error": {"Code": code}}, WRITTEN] for code in CODES],
        service_error("ValidationException"),
        service_error("AccessDeniedException"),
        {"Responses": []},
        {"Responses": [{}]},
        {"Responses": [{}] * 3},
    ],
    ids=lambda value: str(value)[:50],
)
def test_whatever_a_batch_or_a_statement_fails_for_is_settled_by_update_item(
    store: Store, answer: Any
) -> None:
    applier = applier_on(batches(store.client, answer), store.table, mode="batch")
    assert outcomes(applier, body(), body(requestId="other")) == [Outcome.APPLIED] * 2
    assert store.item() == item(createdAt={"S": text_at(1)}, ttl={"N": str(int(at(901).timestamp()))})


def test_the_old_item_of_a_refused_statement_is_used_where_aws_gives_it(store: Store) -> None:
    """As AWS answers; DynamoDB Local leaves the item out."""
    refused = {"Error": {"Code": "ConditionalCheckFailed", "Item": item("completed")}}
    _, applier = in_batches(store, [refused, WRITTEN], client=Scripted())  # no UpdateItem
    assert outcomes(applier, body("processing"), body("processing", requestId="r2")) == [
        Outcome.STALE,
        Outcome.APPLIED,
    ]


def test_a_statement_refused_only_for_a_kept_file_name_goes_through_update_item(store: Store) -> None:
    kept = item("processing", fileName={"S": "kept"})
    store.put(kept)
    refused = {"Error": {"Code": "ConditionalCheckFailed", "Item": kept}}
    _, applier = in_batches(store, [refused, WRITTEN])
    pair = [delivery(body("completed", fileName="new")), delivery(body("completed", requestId="r2"))]
    results = deliver(applier, pair)  # once: a message that came again would hide a wrong refusal
    assert {result.outcome for result in results.values()} == {Outcome.APPLIED}
    assert store.item() == item("completed", fileName={"S": "kept"})


def test_a_change_by_itself_takes_one_update_item(store: Store) -> None:
    """A batch of one that is refused would pay twice."""
    client, applier = in_batches(store)
    assert outcomes(applier, body()) == [Outcome.APPLIED]
    assert client.calls == ["update_item"]


DUPLICATE_ITEM = {"Error": {"Code": "DuplicateItem"}}


def test_refused_inserts_of_a_batch_are_judged_by_one_look_up(store: Store) -> None:
    """Duplicates and stale events must not cost more than what is fresh."""
    for number in range(1, 20):
        store.put(item("pending", requestId={"S": f"r{number}"}))
    store.put(item("completed", requestId={"S": "done"}))
    client, applier = in_batches(store, [DUPLICATE_ITEM] * 20 + [WRITTEN] * 5)
    known = [body(requestId=f"r{number}", createdAt=CREATED_AT) for number in range(1, 20)]
    fresh = [body(requestId=f"new{number}") for number in range(5)]
    found = outcomes(applier, *known, body(requestId="done", createdAt=CREATED_AT), *fresh)
    assert found == [Outcome.DUPLICATE] * 19 + [Outcome.STALE] + [Outcome.APPLIED] * 5
    assert client.calls == ["batch_execute_statement", "batch_get_item"]


def test_of_refused_inserts_only_what_moves_its_export_forward_takes_an_update_item(store: Store) -> None:
    store.put(item("pending", requestId={"S": "a"}))
    store.put(item("processing", requestId={"S": "b"}))
    client, applier = in_batches(store, [DUPLICATE_ITEM, DUPLICATE_ITEM])
    # Two events of each export, one of them its pending: the folded change is an INSERT.
    statuses = ("pending", "processing")
    texts = [body(status, requestId=key, createdAt=CREATED_AT) for key in "ab" for status in statuses]
    assert outcomes(applier, *texts) == [Outcome.STALE, Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE]
    assert client.calls == ["batch_execute_statement", "batch_get_item", "update_item"]


def test_a_duplicate_item_that_brings_its_item_needs_neither_a_look_up_nor_an_update_item(
    store: Store,
) -> None:
    brings = {"Error": {"Code": "DuplicateItem", "Item": item("completed", requestId={"S": "a"})}}
    client, applier = in_batches(store, [brings, WRITTEN])
    found = outcomes(applier, body(requestId="a", createdAt=CREATED_AT), body(requestId="b"))
    assert found == [Outcome.STALE, Outcome.APPLIED]
    assert client.calls == ["batch_execute_statement"]


def test_a_group_that_holds_its_pending_is_inserted_whatever_leads_it(store: Store) -> None:
    """Its item is most likely not there yet, and an UPDATE cannot create it."""
    client, applier = in_batches(store, [WRITTEN])
    begun = [body(status, requestId="begun", createdAt=CREATED_AT) for status in ("pending", "completed")]
    later = body("completed", requestId="later", createdAt=CREATED_AT)
    assert outcomes(applier, *begun, later) == [Outcome.STALE, Outcome.APPLIED, Outcome.APPLIED]
    [first, second] = [each["Statement"] for each in client.requests[0]["Statements"]]
    assert (first.split()[0], second.split()[0]) == ("INSERT", "UPDATE")


def test_a_batch_of_which_nothing_is_written_is_reported_once(store: Store, logged: list[Any]) -> None:
    _, applier = in_batches(store, *[[{"Error": {"Code": "ValidationError"}}]] * 2)
    for number in range(2):
        outcomes(applier, body(requestId=f"a{number}"), body(requestId=f"b{number}"))
    [line] = [line for line in logged if line["log_level"] == "warning"]
    assert (line["event"], line["changes"], line["codes"]) == ("batch_fell_back", 2, ["ValidationError"])


@pytest.mark.dynamodb_local
def test_a_batch_whose_answer_was_lost_counts_as_duplicates(
    dynamodb_local: str, clients: Callable[[str], ClientFactory]
) -> None:
    factory = clients(dynamodb_local)
    store = Store(factory, status_table(factory, stream=False))
    store.put(item("pending", requestId={"S": "known"}))
    client = Scripted(store.client, ("after", timeout()))
    applier = applier_on(client, store.table, mode="batch")
    found = outcomes(applier, body("pending"), body("completed", requestId="known"))
    assert found == [Outcome.DUPLICATE] * 2
    assert client.calls[:2] == ["batch_execute_statement"] * 2


def test_time_that_runs_out_between_batches_leaves_the_rest(store: Store) -> None:
    client = batches(store.client, [WRITTEN] * 25)
    table = status_table_on(client, store.table, monotonic=lambda: 2.0 * len(client.calls))
    changes = [change(requestId=f"r{number}") for number in range(30)]
    answers = writer_on(table).write(changes, 1.0)
    assert answers[:25] == [Written()] * 25
    assert all(isinstance(a, Failed) and isinstance(a.error, NotTried) for a in answers[25:])


@pytest.mark.dynamodb_local
def test_the_pipeline_takes_a_quarter_of_a_call_for_an_event(
    run: Run, dynamodb_local: str, clients: Callable[[str], ClientFactory]
) -> None:
    """Ten a receive, ten a delete, 25 a write: 0.24."""
    brought: list[int] = []

    def receive(method: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = method(**arguments)
        brought.append(len(answer.get("Messages", ())))
        return answer

    bodies = [body(requestId=f"r{number}") for number in range(100)]
    with run(
        *bodies,
        hooks={"receive_message": receive},
        settings={"EXPORT_WRITE_MODE": "auto"},
        store=clients(dynamodb_local),
        before=lambda service: service.aws.calls.clear(),
    ) as service:
        service.wait_until_empty()
        operations = service.operations()
        assert all(service.item(f"r{number}") for number in range(100))
    assert operations["update_item"] == 0
    assert operations["batch_execute_statement"] == 2 + 4, "the proof, and the events"
    assert operations["delete_message_batch"] == 10
    assert [count for count in brought if count] == [10] * 10, "only the last long polls are empty"
