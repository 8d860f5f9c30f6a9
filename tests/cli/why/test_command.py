"""`why` answers from every source that can be read, and names the others."""

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from handlers.export import Status
from processor.audit.sinks.kinesis import KinesisSink
from processor.localaws.embedded_aws import EmbeddedAws
from tests.audit.entries import entry, put_all
from tests.cli.commands import Ran
from tests.cli.conftest import Table, refusing
from tests.cli.dlq.dead_letters import SECRET, Queues, event
from tests.resources import audit_stream, fresh_name


class Case:
    """The sources of one test, and the settings that name them."""

    def __init__(self, aws: EmbeddedAws, table: Table) -> None:
        self.aws, self.table = aws, table
        self.queues = Queues(aws.client, table.environment, table.command)
        self.log_group = {"logGroupName": fresh_name("/ecs/logs")}
        self.environment = self.queues.environment
        self.environment["KINESIS_EXPORT_AUDIT_STREAM"] = audit_stream(aws.client, shards=4)
        aws.client("logs").create_log_group(**self.log_group)
        aws.client("logs").create_log_stream(**self.log_group, logStreamName="task")

    def put_entries(self, *request_ids: str) -> None:
        stream = self.environment["KINESIS_EXPORT_AUDIT_STREAM"]
        sink = KinesisSink(self.aws.client("kinesis"), stream, buckets=16)
        entries = [entry(f"id-{number}", request_id) for number, request_id in enumerate(request_ids)]
        assert put_all(sink, entries) == []

    def log(self, request_id: str) -> None:
        line = {"event": "event_outcome", "request_id": request_id, "url": f"https://b/?{SECRET}"}
        event = {"timestamp": int(time.time() * 1_000), "message": json.dumps(line)}
        self.aws.client("logs").put_log_events(**self.log_group, logStreamName="task", logEvents=[event])

    def why(self, *options: str, request_id: str = "req-1", **settings: str) -> Ran:
        group = self.log_group["logGroupName"]
        environment = self.environment | settings
        return self.table.command("why", request_id, "--log-group", group, *options, environment=environment)

    def answer(self, request_id: str = "req-1", **settings: str) -> dict[str, Any]:
        ran = self.why("--json", request_id=request_id, **settings)
        assert (ran.status, ran.err) == (0, "")
        (found,) = ran.records
        return found


@pytest.fixture
def case(embedded_aws: EmbeddedAws, table: Table) -> Case:
    return Case(embedded_aws, table)


def test_all_sources_are_in_one_answer(case: Case) -> None:
    case.table.put("req-1", Status.PROCESSING, left=timedelta(minutes=5))
    message_id = case.queues.reject(event("req-1", fileName=f"https://b/?{SECRET}"), "early", "the reason")
    case.queues.reject(event("req-2"), "invalid")
    case.put_entries(*(f"req-{number}" for number in range(20)))
    case.log("req-1")
    case.log("other")
    found = case.answer()
    assert found["record"]["status"] == "processing"
    assert 200 < found["record"]["secondsLeft"] <= 300
    assert [letter["messageId"] for letter in found["deadLetters"]] == [message_id]
    assert [each["auditId"] for each in found["auditEntries"]] == ["id-1"]
    assert len(found["logLines"]) == 1
    assert found["unread"] == {}
    assert "dlq redrive --outcome early" in found["advice"]
    assert SECRET not in json.dumps(found)
    assert case.queues.waiting(case.queues.dlq_url) == (2, 0)


def test_people_get_a_paragraph_for_each_source(case: Case) -> None:
    case.table.put("req-1", Status.PROCESSING, left=timedelta(minutes=-10), age=timedelta(minutes=5))
    case.queues.reject(event("req-1"), "invalid", "a\x1b[2Jb")
    case.put_entries("req-1")
    ran = case.why()
    assert (ran.status, ran.err) == (0, "")
    assert ran.lines[0].startswith("record         processing, changed 5m ago, expired 10m ago")
    assert "dead letters   1" in ran.lines
    assert "audit entries  1" in ran.lines
    assert "log lines      0" in ran.lines
    assert ran.lines[-1].startswith("→ It expired as processing and an event of it was rejected")
    assert all(line.isprintable() for line in ran.lines)


def test_a_letter_that_cannot_be_decoded_is_found_by_its_quoted_id(case: Case) -> None:
    inner = json.dumps({"requestId": "ü1", "status": "done"}, ensure_ascii=False)
    case.queues.reject(json.dumps({"Type": "Notification", "Message": inner}), "invalid")
    case.queues.reject(json.dumps({"requestId": "ü12", "status": "done"}), "invalid")
    case.queues.reject("export ü1 is done", "invalid")
    (letter,) = case.answer("ü1")["deadLetters"]
    assert letter["body"].startswith('{"Type"')


def test_nothing_is_known_of_an_export_that_was_never_requested(case: Case) -> None:
    found = case.answer("nonsense \"'")
    assert found["record"] is None
    assert found["advice"].startswith("Nothing is known of it: it was never requested")


def test_a_source_that_cannot_be_read_is_named_and_the_others_answer(case: Case) -> None:
    case.table.put("req-1", Status.PROCESSING, left=timedelta(minutes=5))
    refused = ("AmazonSQS.ReceiveMessage", "Logs_20140328.FilterLogEvents", "Kinesis_20131202.ListShards")
    with refusing(case.environment, *refused) as settings:
        found = case.answer(**settings)
    assert found["record"]["status"] == "processing"
    assert set(found["unread"]) == {"deadLetters", "auditEntries", "logLines"}
    assert all(": AWS refuses, check credentials" in reason for reason in found["unread"].values())


def test_what_is_not_configured_is_named(case: Case) -> None:
    del case.environment["KINESIS_EXPORT_AUDIT_STREAM"]
    found = case.answer()
    assert "KINESIS_EXPORT_AUDIT_STREAM must be set" in found["unread"]["auditEntries"]


def test_what_was_read_only_in_part_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.queues.reject(event("req-1"), "early")
    case.queues.sqs.receive_message(QueueUrl=case.queues.dlq_url, VisibilityTimeout=600)
    monkeypatch.setattr("processor.cli.why.lookup.retry", lambda *_, **__: {"nextToken": "more"})
    assert case.answer()["advice"].endswith("(not read: deadLetters, logLines).")
