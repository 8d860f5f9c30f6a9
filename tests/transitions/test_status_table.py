"""One conditional write on moto and on DynamoDB Local: what decides it, and what its answer means."""

import threading

import pytest

from processor.aws.errors import Misconfigured, NotFound, Rejected, Transient
from processor.transitions.status_table import Failed, Late, Refused, Written
from tests.handlers.making import SIGNED_URL, at, item, text_at
from tests.transitions.rig import (
    FAR_DEADLINE,
    Clock,
    Scripted,
    Store,
    change,
    service_error,
    status_table_on,
    timeout,
)

CREATED_AT = text_at(0)


def test_the_three_steps_in_order_are_three_writes_and_the_item_is_complete(store: Store) -> None:
    client = Scripted(store.client)
    table = status_table_on(client, store.table)
    for status, more in (
        ("pending", {"occurredAt": CREATED_AT}),
        ("processing", {"occurredAt": text_at(2)}),
        ("completed", {"occurredAt": text_at(3), "fileName": "f", "signedUrl": SIGNED_URL}),
    ):
        assert table.write(change(status, **more)) == Written()
    assert client.calls == ["update_item"] * 3
    assert store.item() == item(
        "completed", updatedAt={"S": text_at(3)}, fileName={"S": "f"}, signedUrl={"S": SIGNED_URL}
    )


def test_the_clock_is_read_again_before_each_try(store: Store, clock: Clock) -> None:
    client = Scripted(store.client, timeout())
    client.before_call = lambda: setattr(clock, "seconds", 900)
    late = change("completed", createdAt=CREATED_AT)
    assert late.ttl is not None
    assert status_table_on(client, store.table, clock).write(late) == Late(late.ttl)
    assert store.item() is None


def test_a_try_after_the_end_of_the_item_does_not_touch_it(store: Store, clock: Clock) -> None:
    store.put(item("pending"))
    client = Scripted(store.client, timeout())
    client.before_call = lambda: setattr(clock, "seconds", 900)
    answer = status_table_on(client, store.table, clock).write(change("completed"))
    assert answer == Refused(item("pending"), at(900))
    assert store.item() == item("pending")


RETRIED = [
    timeout(),
    service_error("InternalServerError", 500),
    service_error("ProvisionedThroughputExceededException"),
    service_error("TransactionConflictException"),
]


@pytest.mark.parametrize("fault", RETRIED, ids=str)
def test_one_failed_try_is_followed_by_another(store: Store, fault: Exception) -> None:
    client = Scripted(store.client, fault)
    assert status_table_on(client, store.table).write(change()) == Written()
    assert client.calls == ["update_item"] * 2


@pytest.mark.parametrize(
    ("code", "kind", "tries"),
    [
        ("InternalServerError", Transient, 3),
        ("AccessDeniedException", Misconfigured, 1),
        ("ResourceNotFoundException", NotFound, 1),
        ("ValidationException", Rejected, 1),
    ],
)
def test_after_three_tries_or_at_once_where_none_can_help_the_error_is_the_answer(
    store: Store, code: str, kind: type[Exception], tries: int
) -> None:
    client = Scripted(store.client, *[service_error(code)] * 9)
    answer = status_table_on(client, store.table).write(change())
    assert isinstance(answer, Failed)
    assert type(answer.error) is kind
    assert str(answer.error) == f"UpdateItem: {code}"
    assert client.calls == ["update_item"] * tries


@pytest.mark.parametrize("lasting", [5.0, 6.0])
def test_after_the_deadline_nothing_is_tried_again(store: Store, lasting: float) -> None:
    """A write that is not answered takes five seconds; the deadline is in seven."""
    client = Scripted(store.client, *[timeout()] * 9)
    table = status_table_on(client, store.table, monotonic=lambda: lasting * len(client.calls))
    assert isinstance(table.write(change(), 7.0), Failed)
    assert client.calls == ["update_item"] * 2
    client.calls.clear()
    assert isinstance(table.fill_in("req-1", {"fileName": "f"}, 7.0), Transient)
    assert client.calls == ["update_item"] * 2


def test_once_a_drain_ends_nothing_is_tried_again(store: Store) -> None:
    abandon = threading.Event()
    abandon.set()
    client = Scripted(store.client, timeout())
    table = status_table_on(client, store.table, abandon=abandon)
    assert isinstance(table.write(change()), Failed)
    assert client.calls == ["update_item"]
    assert not table.has_time(FAR_DEADLINE)


def test_the_probe_changes_nothing_and_passes(store: Store) -> None:
    table = status_table_on(store.client, store.table)
    table.probe()
    assert store.client.scan(TableName=store.table)["Count"] == 0
    assert table.get_items(["req-1", "req-2"]) == {"req-1": None, "req-2": None}
    store.put(item())
    assert table.get_items(["req-1", "req-2"]) == {"req-1": item(), "req-2": None}
