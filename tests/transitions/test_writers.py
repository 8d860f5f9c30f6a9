"""The mode `auto`, and what a batch does not settle by itself."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.metrics import Metrics
from processor.transitions.applier import Applier
from processor.transitions.status_table import Failed, Late, NotTried, Written
from processor.transitions.writers import BatchWriter, SingleWriter
from tests.handlers.making import TTL_SECONDS, at, body, item, text_at
from tests.resources import ClientFactory, status_table
from tests.transitions.rig import (
    FAR_DEADLINE,
    Clock,
    ModelDynamoDb,
    applier_on,
    deliver,
    delivery,
    service_error,
    status_table_on,
    timeout,
)
from tests.transitions.running import running
from tests.transitions.stores import Faulty, Store, change, outcomes
from tests.transitions.test_write_modes import WRITTEN, Answering

CREATED_AT = text_at(0)
PERMISSIONS = "a permission is missing: dynamodb:PartiQLInsert and dynamodb:PartiQLUpdate are needed"


def test_a_batch_is_not_tried_again_after_the_deadline(store: Store, clock: Clock) -> None:
    """A call that is not answered takes five seconds; the deadline is in seven."""
    answering = Answering(*[timeout()] * 9, client=store.client)
    table = status_table_on(answering, store.table, clock, monotonic=lambda: 5.0 * answering.asked)
    writer = BatchWriter(table, SingleWriter(table), Metrics(), lambda: None)
    answers = writer.write([change(), change(requestId="other")], 7.0)
    assert all(isinstance(answer, Failed) for answer in answers)
    assert answering.asked == 2


@pytest.mark.parametrize("error", [timeout(), service_error("InternalServerError", 500)], ids=str)
def test_while_batches_get_no_answer_and_update_item_works_every_event_is_applied(
    clock: Clock, error: Exception
) -> None:
    model = ModelDynamoDb(clock)
    answering = Answering(*[error] * 9, client=model)
    applier = applier_on(answering, "t", clock, mode="batch")
    bodies = [delivery(body(requestId=f"r{number}")) for number in range(60)]
    results, outage = applier.apply(bodies, FAR_DEADLINE)
    assert [result.outcome for result in results] == [Outcome.APPLIED] * 60
    assert outage is None
    assert answering.asked == 3, "one batch's tries, not each batch's"
    assert model.updates == len(model.table.items) == 60


def test_while_neither_batches_nor_update_item_get_an_answer_it_is_an_outage_after_a_few_calls(
    clock: Clock,
) -> None:
    model = ModelDynamoDb(clock)
    model.plan.extend([("before", timeout())] * 99)
    answering = Answering(*[timeout()] * 9, client=model)
    applier = applier_on(answering, "t", clock, mode="batch")
    results, outage = applier.apply(
        [delivery(body(requestId=f"r{number}")) for number in range(60)], FAR_DEADLINE
    )
    assert [result.outcome for result in results] == [Outcome.RETRY] * 60
    assert str(outage) == "UpdateItem: ReadTimeoutError"
    assert (answering.asked, model.updates) == (3, 3)


def test_a_silent_table_costs_no_more_than_the_deadline_and_the_call_that_began_before_it(
    clock: Clock,
) -> None:
    """A call that is not answered takes five seconds; the deadline is in twelve, then in seventeen."""
    for deadline, batches, updates in ((12.0, 3, 0), (17.0, 3, 1)):
        model = ModelDynamoDb(clock)
        model.plan.extend([("before", timeout())] * 99)
        answering = Answering(*[timeout()] * 9, client=model)
        table = status_table_on(answering, "t", clock, monotonic=partial(seconds_spent, answering, model))
        writer = BatchWriter(table, SingleWriter(table), Metrics(), lambda: None)
        results, outage = Applier(table, writer, clock, TTL_SECONDS).apply(
            [delivery(body(requestId=f"r{number}")) for number in range(60)], deadline
        )
        assert [result.outcome for result in results] == [Outcome.RETRY] * 60
        assert outage is not None
        assert outage.code == "ReadTimeoutError"
        assert (answering.asked, model.updates) == (batches, updates)


def seconds_spent(answering: Answering, model: ModelDynamoDb) -> float:
    return 5.0 * (answering.asked + model.updates)


def test_a_change_whose_end_comes_between_two_tries_of_a_batch_is_late_and_not_sent_again(
    clock: Clock,
) -> None:
    model = ModelDynamoDb(clock)
    sent: list[list[Any]] = []

    class Passing(Answering):
        """The first call is not answered, and meanwhile the end of the older export comes."""

        def batch_execute_statement(self, **arguments: Any) -> Any:
            sent.append(arguments["Statements"])
            clock.seconds = 950
            return super().batch_execute_statement(**arguments)

    client = Passing(timeout(), [{"TableName": "t"}], client=model)
    table = status_table_on(client, "t", clock)
    older = change(requestId="older", occurredAt=text_at(0))
    younger = change(requestId="younger", occurredAt=text_at(100))
    answers = BatchWriter(table, SingleWriter(table), Metrics(), lambda: None).write(
        [older, younger], FAR_DEADLINE
    )
    assert older.ttl is not None
    assert answers == [Late(older.ttl), Written()]
    assert [len(statements) for statements in sent] == [2, 1]
    assert "younger" in str(sent[1])
    assert model.updates == 0


@pytest.mark.parametrize(
    "code",
    [
        "ThrottlingError",
        "TransactionConflict",
        "InternalServerError",
        "ValidationError",
        "AccessDenied",
        "New",
    ],
)
def test_whatever_a_statement_fails_for_is_settled_by_update_item(
    store: Store, clock: Clock, code: str
) -> None:
    answering = Answering([{"Error": {"Code": code}}, {"TableName": "t"}], client=store.client)
    applier = applier_on(answering, store.table, clock, mode="batch")
    assert outcomes(applier, body(), body(requestId="other")) == [Outcome.APPLIED] * 2
    assert store.item() == item(createdAt={"S": text_at(1)}, ttl={"N": str(int(at(901).timestamp()))})


@pytest.mark.parametrize("error", ["ValidationException", "AccessDeniedException"])
def test_a_batch_that_is_refused_as_a_whole_is_settled_by_update_item(
    store: Store, clock: Clock, error: str
) -> None:
    answering = Answering(service_error(error), client=store.client)
    applier = applier_on(answering, store.table, clock, mode="batch")
    assert outcomes(applier, body(), body(requestId="other")) == [Outcome.APPLIED] * 2


@pytest.mark.parametrize("answer", [[], [{}], [{}] * 3], ids=["nothing", "too little", "too much"])
def test_a_batch_that_is_not_answered_statement_by_statement_is_settled_by_update_item(
    store: Store, clock: Clock, answer: list[Any]
) -> None:
    applier = applier_on(Answering(answer, client=store.client), store.table, clock, mode="batch")
    assert outcomes(applier, body(), body(requestId="other")) == [Outcome.APPLIED] * 2
    assert store.item() is not None


def test_the_old_item_of_a_refused_statement_is_used_where_aws_gives_it(store: Store, clock: Clock) -> None:
    """As AWS answers; DynamoDB Local leaves the item out."""
    refused = {"Error": {"Code": "ConditionalCheckFailed", "Item": item("completed")}}
    answering = Answering([refused, WRITTEN], client=None)  # no UpdateItem
    applier = applier_on(answering, store.table, clock, mode="batch")
    assert outcomes(applier, body("processing"), body("processing", requestId="r2")) == [
        Outcome.STALE,
        Outcome.APPLIED,
    ]


def test_a_statement_refused_only_for_a_kept_file_name_goes_through_update_item(
    store: Store, clock: Clock
) -> None:
    kept = item("processing", fileName={"S": "kept"})
    store.put(kept)
    refused = {"Error": {"Code": "ConditionalCheckFailed", "Item": kept}}
    answering = Answering([refused, WRITTEN], client=store.client)
    applier = applier_on(answering, store.table, clock, mode="batch")
    pair = [delivery(body("completed", fileName="new")), delivery(body("completed", requestId="r2"))]
    results = deliver(applier, pair)  # once: a message that came again would hide a wrong refusal
    assert {result.outcome for result in results.values()} == {Outcome.APPLIED}
    assert store.item() == item("completed", fileName={"S": "kept"})


def test_a_change_by_itself_takes_one_update_item(store: Store, clock: Clock) -> None:
    """A batch of one that is refused would pay twice."""
    client = Faulty(store.client)
    applier = applier_on(client, store.table, clock, mode="batch")
    assert outcomes(applier, body()) == [Outcome.APPLIED]
    assert client.calls == ["update_item"]


DUPLICATE_ITEM = {"Error": {"Code": "DuplicateItem"}}


def test_refused_inserts_of_a_batch_are_judged_by_one_look_up(store: Store, clock: Clock) -> None:
    """Duplicates and stale events must not cost more than what is fresh."""
    for number in range(1, 20):
        store.put(item("pending", requestId={"S": f"r{number}"}))
    store.put(item("completed", requestId={"S": "done"}))
    client = Faulty(Answering([DUPLICATE_ITEM] * 20 + [WRITTEN] * 5, client=store.client))
    applier = applier_on(client, store.table, clock, mode="batch")
    known = [body(requestId=f"r{number}", createdAt=CREATED_AT) for number in range(1, 20)]
    fresh = [body(requestId=f"new{number}") for number in range(5)]
    found = outcomes(applier, *known, body(requestId="done", createdAt=CREATED_AT), *fresh)
    assert found == [Outcome.DUPLICATE] * 19 + [Outcome.STALE] + [Outcome.APPLIED] * 5
    assert client.calls == ["batch_execute_statement", "batch_get_item"]


def test_of_refused_inserts_only_what_moves_its_export_forward_takes_an_update_item(
    store: Store, clock: Clock
) -> None:
    store.put(item("pending", requestId={"S": "a"}))
    store.put(item("processing", requestId={"S": "b"}))
    client = Faulty(Answering([DUPLICATE_ITEM, DUPLICATE_ITEM], client=store.client))
    applier = applier_on(client, store.table, clock, mode="batch")
    # Two events of each export, one of them its pending: the folded change is an INSERT.
    statuses = ("pending", "processing")
    texts = [body(status, requestId=key, createdAt=CREATED_AT) for key in "ab" for status in statuses]
    assert outcomes(applier, *texts) == [Outcome.STALE, Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE]
    assert client.calls == ["batch_execute_statement", "batch_get_item", "update_item"]


def test_a_duplicate_item_that_brings_its_item_needs_neither_a_look_up_nor_an_update_item(
    store: Store, clock: Clock
) -> None:
    brings = {"Error": {"Code": "DuplicateItem", "Item": item("completed", requestId={"S": "a"})}}
    client = Faulty(Answering([brings, WRITTEN], client=store.client))
    applier = applier_on(client, store.table, clock, mode="batch")
    found = outcomes(applier, body(requestId="a", createdAt=CREATED_AT), body(requestId="b"))
    assert found == [Outcome.STALE, Outcome.APPLIED]
    assert client.calls == ["batch_execute_statement"]


def test_a_group_that_holds_its_pending_is_inserted_whatever_leads_it(store: Store, clock: Clock) -> None:
    """Its item is most likely not there yet, and an UPDATE cannot create it."""
    answering = Answering([WRITTEN], client=store.client)
    applier = applier_on(answering, store.table, clock, mode="batch")
    begun = [body(status, requestId="begun", createdAt=CREATED_AT) for status in ("pending", "completed")]
    later = body("completed", requestId="later", createdAt=CREATED_AT)
    assert outcomes(applier, *begun, later) == [Outcome.STALE, Outcome.APPLIED, Outcome.APPLIED]
    [[first, second]] = answering.statements
    assert (first.split()[0], second.split()[0]) == ("INSERT", "UPDATE")


def test_a_batch_of_which_nothing_is_written_is_reported_once(
    store: Store, clock: Clock, logged: list[Any]
) -> None:
    answering = Answering(*[[{"Error": {"Code": "ValidationError"}}]] * 2, client=store.client)
    applier = applier_on(answering, store.table, clock, mode="batch")
    for number in range(2):
        outcomes(applier, body(requestId=f"a{number}"), body(requestId=f"b{number}"))
    [line] = [line for line in logged if line["log_level"] == "warning"]
    assert (line["event"], line["changes"], line["codes"]) == ("batch_fell_back", 2, ["ValidationError"])


@pytest.mark.dynamodb_local
def test_a_batch_whose_answer_was_lost_counts_as_duplicates(
    dynamodb_local: str, clients: Callable[[str], ClientFactory], clock: Clock
) -> None:
    factory = clients(dynamodb_local)
    store = Store(factory, status_table(factory, stream=False))
    store.put(item("pending", requestId={"S": "known"}))
    client = Faulty(store.client, ("after", timeout()))
    applier = applier_on(client, store.table, clock, mode="batch")
    found = outcomes(applier, body("pending"), body("completed", requestId="known"))
    assert found == [Outcome.DUPLICATE] * 2
    assert client.calls[:2] == ["batch_execute_statement"] * 2


def test_time_that_runs_out_between_batches_leaves_the_rest(store: Store, clock: Clock) -> None:
    ticks = iter([0.0, 0.0, 2.0, 2.0])
    answering = Answering([{"TableName": "t"}] * 25, client=store.client)
    table = status_table_on(answering, store.table, clock, monotonic=lambda: next(ticks))
    changes = [change(requestId=f"r{number}") for number in range(30)]
    ticks = iter([0.0, 2.0])
    answers = BatchWriter(table, SingleWriter(table), Metrics(), lambda: None).write(changes, 1.0)
    assert answers[:25] == [Written()] * 25
    assert all(isinstance(a, Failed) and isinstance(a.error, NotTried) for a in answers[25:])


@pytest.mark.dynamodb_local
def test_the_pipeline_takes_a_quarter_of_a_call_for_an_event(
    embedded_aws: EmbeddedAws, dynamodb_local: str, clients: Callable[[str], ClientFactory], tmp_path: Path
) -> None:
    """Ten a receive, ten a delete, 25 a write: 0.24."""
    bodies = [body(requestId=f"r{number}") for number in range(100)]
    with running(
        embedded_aws,
        tmp_path,
        bodies=bodies,
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
    assert 10 <= operations["receive_message"] <= 12, "the last long polls are empty"
