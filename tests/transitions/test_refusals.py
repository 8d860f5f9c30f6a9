"""Why DynamoDB refuses an item: the item's own fault, or an index that wants another type."""

from collections.abc import Callable
from typing import Any

import pytest

from handlers.transitions import Outcome
from processor.aws.errors import Misconfigured, Rejected, Transient
from processor.transitions.applier import Applier
from processor.transitions.refusals import DESCRIBE_EVERY_SECONDS, Refusals, wrong_index
from tests.handlers.making import body
from tests.resources import ClientFactory, status_table
from tests.transitions.rig import (
    FAR_DEADLINE,
    Clock,
    Scripted,
    delivery,
    service_error,
    status_table_on,
    writer_on,
)

REFUSED = Rejected("UpdateItem", "ValidationException")
NAMED = "the index by-x wants fileName of type N, not S"


def described(name: str | None = None, kind: str = "N", key: str = "requestId") -> dict[str, Any]:
    types = {key: "S"} | ({name: kind} if name else {})
    return {
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": of} for each, of in types.items()],
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            {"IndexName": "by-x", "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}]}
            for _ in types
            if name
        ],
    }


class Described:
    """Refusals of a table whose DescribeTable gives answers in turn."""

    def __init__(self, *answers: Any) -> None:
        self.now = 0.0
        plan = [answer if isinstance(answer, Exception) else {"Table": answer} for answer in answers]
        self.client = Scripted(None, *plan)
        self.refusals = Refusals(status_table_on(self.client, "t", Clock(), monotonic=lambda: self.now))


@pytest.mark.parametrize(
    ("name", "kind", "wrong"),
    [
        ("fileName", "N", NAMED),
        ("status", "B", "the index by-x wants status of type B, not S"),
        ("ttl", "S", "the index by-x wants ttl of type S, not N"),
        ("ttl", "N", None),
        ("status", "S", None),
        ("tenant", "N", None),
        (None, "N", None),
    ],
)
def test_an_index_is_wrong_if_it_wants_another_type_than_we_write(
    name: str | None, kind: str, wrong: str | None
) -> None:
    assert wrong_index(described(name, kind)) == wrong


def test_without_a_wrong_index_the_refusal_is_the_item_s_own() -> None:
    assert Described(described()).refusals.explain(REFUSED) is REFUSED


def test_an_index_that_wants_another_type_is_named_until_it_is_gone() -> None:
    rig = Described(described("fileName"), described("fileName"), described())
    refusals = rig.refusals
    error = refusals.explain(REFUSED)
    assert isinstance(error, Misconfigured)
    assert str(error) == f"UpdateItem: {NAMED}"
    with pytest.raises(Misconfigured, match="by-x"):
        refusals.check()
    refusals.check()
    refusals.check()  # nothing to look for any more
    assert rig.client.count("describe_table") == 3


def test_a_table_that_was_made_again_with_another_key_refuses_good_events() -> None:
    error = Described(described(key="id")).refusals.explain(REFUSED)
    assert isinstance(error, Misconfigured)
    assert str(error) == "UpdateItem: the table's key is id (S), not requestId (S)"


def test_the_table_is_described_at_a_limited_rate_and_what_is_not_explained_is_tried_again() -> None:
    rig = Described(described(), described("fileName"))
    refusals = rig.refusals
    assert refusals.explain(REFUSED) is REFUSED
    rig.now = DESCRIBE_EVERY_SECONDS - 0.1  # an index may have come: not enough to throw an event away
    assert isinstance(refusals.explain(REFUSED), Transient)
    rig.now = DESCRIBE_EVERY_SECONDS
    assert isinstance(refusals.explain(REFUSED), Misconfigured)


def test_where_the_table_may_not_be_described_a_refused_event_is_tried_again() -> None:
    refusals = Described(service_error("AccessDeniedException")).refusals
    assert isinstance(refusals.explain(REFUSED), Transient)


def test_errors_that_are_no_refusal_need_no_explanation() -> None:
    error = Transient("UpdateItem", "InternalServerError")
    assert Described().refusals.explain(error) is error


@pytest.mark.dynamodb_local
def test_an_insert_that_an_index_refuses_keeps_its_event(
    dynamodb_local: str, clients: Callable[[str], ClientFactory]
) -> None:
    """DynamoDB Local holds INSERTs against the types of indexes; AWS holds UpdateItem against them too."""
    factory = clients(dynamodb_local)
    name = status_table(factory, stream=False)
    index: Any = {"IndexName": "by-status", "Projection": {"ProjectionType": "ALL"}}
    index |= {"KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}]}
    types = [("requestId", "S"), ("status", "N")]
    factory("dynamodb").update_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": of} for key, of in types],
        GlobalSecondaryIndexUpdates=[{"Create": index}],
    )
    as_aws = [service_error("ValidationException")] * 2
    table = status_table_on(Scripted(factory("dynamodb"), *as_aws, only="update_item"), name)
    applier = Applier(table, writer_on(table), Refusals(table).explain)
    results, outage = applier.apply([delivery(body(requestId=f"r{n}")) for n in range(2)], FAR_DEADLINE)
    assert [result.outcome for result in results] == [Outcome.RETRY] * 2
    assert str(outage) == "UpdateItem: the index by-status wants status of type N, not S"
    assert factory("dynamodb").scan(TableName=name)["Count"] == 0, "the INSERTs were refused"
