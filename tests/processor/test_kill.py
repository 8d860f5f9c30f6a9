"""The service killed at any point: the next one completes what it had received, once."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from processor.localaws.embedded_aws import EmbeddedAws
from tests.processor.place import Place, fresh, now_text
from tests.resources import drained_messages
from tests.support.proxy import Answer, Request, Upstream, proxy
from tests.support.service import ServiceProcess
from tests.waiting import eventually


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_thousand_events_loses_nothing(
    embedded_aws: EmbeddedAws, tmp_path: Path
) -> None:
    place = Place(embedded_aws, visibility_seconds=30)
    settings = place.settings(EXPORT_RECEIVERS="4", EXPORT_LEASE_FAILOVER_SECONDS="2")
    exports = [f"export-{number}" for number in range(250)]
    created = now_text()
    steps = [
        [fresh(status, requestId=key, createdAt=created, fileName=f"{key}.csv") for key in exports]
        for status in ("pending", "processing", "processing", "completed")
    ]
    events = [text for step in steps for text in step]
    runs: list[ServiceProcess] = []
    mute, written, over = threading.Event(), threading.Event(), threading.Event()

    def keep_answers(request: Request, upstream: Upstream) -> Answer:
        """Once mute, the table takes each write and never says so: the queue keeps those messages."""
        answer = upstream.ask(request)
        is_write = request.target == "DynamoDB_20120810.UpdateItem"
        if mute.is_set() and is_write and json.loads(request.body)["TableName"] == place.table:
            written.set()
            over.wait()
        return answer

    def run(**changes: str) -> ServiceProcess:
        runs.append(ServiceProcess({**settings, **changes}, tmp_path / f"run-{len(runs)}"))
        return runs[-1]

    def come_back_soon(seconds: int) -> None:
        """How long the messages of a killed service stay invisible. A start wants at least 30."""
        embedded_aws.client("sqs").set_queue_attributes(
            QueueUrl=place.queue_url, Attributes={"VisibilityTimeout": str(seconds)}
        )

    with (
        proxy(embedded_aws.endpoint_url, keep_answers) as endpoint,
        run(AWS_ENDPOINT_URL_DYNAMODB=endpoint) as service,
    ):
        service.wait_for("service_started")
        come_back_soon(3)
        for start in range(0, 500, 100):
            if start == 400:
                mute.set()
            place.send(*events[start : start + 100])
            eventually(lambda: written.is_set() or place.count() < 90, 60, every_seconds=0.01)
        eventually(written.is_set)
        service.kill()
        over.set()
    come_back_soon(30)
    assert place.count() >= 100, "it was killed with messages received and written"
    with run() as service:
        service.wait_for("service_started")
        for start in range(500, 1_000, 100):
            place.send(*events[start : start + 100])
            eventually(lambda: place.count() < 90, 60)
        eventually(lambda: place.count() == 0, 90)
        for key in exports:
            stored = place.item(key)
            assert stored is not None
            assert (stored["status"], stored["fileName"]) == ({"S": "completed"}, {"S": f"{key}.csv"})
        assert list(drained_messages(embedded_aws.client, place.dlq_url)) == []
        delete(place, exports[:120])
        eventually(lambda: service.lines("audit"), 60, every_seconds=0.01)
        service.kill()
    delete(place, exports[120:])
    with run() as service:
        service.wait_for("service_started")
        eventually(lambda: audited(runs) == set(exports), 60)
        assert service.stop()[0] == 0
    entries = [line for each in runs for line in each.lines("audit")]
    assert {(line["action"], line["lastStatus"], line["finished"]) for line in entries} == {
        ("export.deleted", "completed", True)
    }
    assert len({line["auditId"] for line in entries}) == len(exports)


def delete(place: Place, keys: list[str]) -> None:
    for key in keys:
        place.aws.client("dynamodb").delete_item(TableName=place.table, Key={"requestId": {"S": key}})


def audited(runs: list[ServiceProcess]) -> set[Any]:
    found: list[Mapping[str, Any]] = [line for each in runs for line in each.lines("audit")]
    return {line["requestId"] for line in found}
