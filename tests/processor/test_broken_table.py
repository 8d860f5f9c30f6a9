"""A table with an index of another type, or one that is gone: events wait, and its repair ends that."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from processor.observability.health import check
from tests.processor.place import ONLY_TRANSITIONS, Place, fresh
from tests.resources import status_table
from tests.support.proxy import Answer, Request, Upstream, failure, proxy
from tests.support.service import ServiceProcess
from tests.waiting import eventually

INDEX = "by-x"


@contextmanager
def front(place: Place, attribute: str) -> Iterator[str]:
    """Refuses writes of an attribute as AWS does, while the table has an index that wants it as a number."""

    def refuse(request: Request, upstream: Upstream) -> Answer:
        if request.target == "DynamoDB_20120810.UpdateItem" and has_index(place):
            written = json.loads(request.body).get("ExpressionAttributeNames", {})
            if attribute in written.values() or attribute in json.loads(request.body)["UpdateExpression"]:
                return failure("ValidationException", 400)
        return upstream.ask(request)

    with proxy(place.aws.endpoint_url, refuse) as url:
        yield url


def has_index(place: Place) -> bool:
    table = place.aws.client("dynamodb").describe_table(TableName=place.table)["Table"]
    return bool(table.get("GlobalSecondaryIndexes"))


def change_index(place: Place, change: dict[str, Any], attribute: str) -> None:
    place.aws.client("dynamodb").update_table(
        TableName=place.table,
        AttributeDefinitions=[
            {"AttributeName": "requestId", "AttributeType": "S"},
            *([{"AttributeName": attribute, "AttributeType": "N"}] if "Create" in change else []),
        ],
        GlobalSecondaryIndexUpdates=[change],
    )


@pytest.mark.parametrize(
    ("attribute", "refused"),
    [("updatedAt", {"with-name", "without"}), ("fileName", {"with-name"})],
    ids=["every write", "writes with fileName"],
)
def test_good_events_wait_until_the_index_is_gone(
    embedded_aws: EmbeddedAws, tmp_path: Path, attribute: str, refused: set[str]
) -> None:
    place = Place(embedded_aws)
    index = {
        "IndexName": INDEX,
        "KeySchema": [{"AttributeName": attribute, "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    change_index(place, {"Create": index}, attribute)
    wanted = f"the index {INDEX} wants {attribute} of type N, not S"
    place.send(fresh(requestId="without"), fresh(requestId="with-name", fileName="report.csv"))
    with front(place, attribute) as endpoint:
        settings = place.settings(AWS_ENDPOINT_URL_DYNAMODB=endpoint, EXPORT_WRITE_MODE="single")
        with ServiceProcess(settings, tmp_path / "run", *ONLY_TRANSITIONS) as service:
            paused = service.wait_for("store_paused")
            assert (paused["level"], wanted in paused["error"]) == ("error", True)
            eventually(lambda: any(wanted in each for each in check(service.health_file).degraded))
            assert not any(place.item(key) for key in refused)
            change_index(place, {"Delete": {"IndexName": INDEX}}, attribute)
            service.wait_for("store_resumed")
            eventually(lambda: place.item("without") and place.item("with-name"))
            eventually(lambda: place.count() == 0)
            status, _ = service.stop()
    assert status == 0
    letters = place.aws.client("sqs").receive_message(QueueUrl=place.dlq_url).get("Messages", [])
    assert letters == []


def test_an_empty_table_is_the_cure_for_a_lost_one(embedded_aws: EmbeddedAws, tmp_path: Path) -> None:
    place, deleted = Place(embedded_aws), Event()

    def read_late(request: Request, upstream: Upstream) -> Answer:
        """The stream is first read when it is gone: the embedded AWS keeps open iterators of a lost table."""
        if request.target == "DynamoDBStreams_20120810.GetShardIterator":
            deleted.wait(60)
        return upstream.ask(request)

    place.send(fresh(requestId="before"))
    with (
        proxy(place.aws.endpoint_url, read_late) as streams,
        ServiceProcess(
            place.settings(EXPORT_RECEIVERS="1", AWS_ENDPOINT_URL_DYNAMODB_STREAMS=streams), tmp_path / "run"
        ) as service,
    ):
        service.wait_for("shard_found")
        eventually(lambda: place.item("before"))
        place.aws.client("dynamodb").delete_table(TableName=place.table)
        deleted.set()
        place.send(fresh(requestId="meanwhile"))
        assert service.wait_for("store_paused")["level"] == "error"
        status_table(place.aws.client, name=place.table)
        service.wait_for("store_resumed")
        eventually(lambda: place.item("meanwhile"))
        assert place.item("before") is None
        service.wait_for("stream_replaced")
        place.aws.client("dynamodb").delete_item(TableName=place.table, Key={"requestId": {"S": "meanwhile"}})
        eventually(lambda: [line["requestId"] for line in service.lines("audit")] == ["meanwhile"], 60)
        status, _ = service.stop()
    assert status == 0
    letters = place.aws.client("sqs").receive_message(QueueUrl=place.dlq_url).get("Messages", [])
    assert letters == []
