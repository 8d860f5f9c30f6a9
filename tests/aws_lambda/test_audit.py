"""The function behind the stream: the mapping's position moves only behind what every sink has."""

import json
from typing import Any

import pytest

from processor.aws_lambda.audit import RESERVED_SECONDS
from processor.localaws.embedded_aws import EmbeddedAws
from tests.aws_lambda.functions import Deployed
from tests.aws_lambda.mapping import TTL_IDENTITY, Context, Record, failed
from tests.handlers.test_expiry import record as stream_change

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T00:00:00.000"
CALM = Context(RESERVED_SECONDS + 60)


def record(number: int, name: str = "REMOVE") -> Record:
    key = {"requestId": {"S": f"req-{number}"}}
    made = stream_change(event=name, identity=TTL_IDENTITY, Keys=key, SequenceNumber=f"{1_000 + number}")
    return made | {"eventID": f"id-{number}", "eventSource": "aws:dynamodb", "eventSourceARN": ARN}


def in_kinesis(at: Deployed) -> list[Any]:
    return [delivered.entry for delivered in at.in_kinesis()]


def test_removals_reach_every_sink_and_other_records_none(
    embedded_aws: EmbeddedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    at = Deployed(embedded_aws)
    records = [record(0), record(1, "MODIFY"), record(2), record(3, "INSERT")]
    assert failed(at.audit({"Records": records}, CALM)) == []
    entries = in_kinesis(at)
    assert [entry["auditId"] for entry in entries] == ["id-0", "id-2"]
    assert entries[0]["action"] == "export.expired"
    assert entries[0]["source"] == {
        "table": "export-status",
        "region": "us-east-1",
        "streamArn": ARN,
        "shardId": None,
        "sequenceNumber": "1000",
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"audit"' in line]
    assert [line["auditId"] for line in lines] == ["id-0", "id-2"]


def test_a_sink_that_is_down_holds_the_position_and_gets_each_entry_afterwards(
    embedded_aws: EmbeddedAws,
) -> None:
    at = Deployed(embedded_aws, settings={"EXPORT_AUDIT_SINKS": "kinesis"})
    records = [record(0, "MODIFY"), record(1), record(2)]
    function = at.audit
    at.kinesis.delete_stream(StreamName=at.stream)
    assert failed(function({"Records": records}, Context(RESERVED_SECONDS + 0.5))) == ["1001"]
    at.kinesis.create_stream(StreamName=at.stream, ShardCount=1)
    at.kinesis.get_waiter("stream_exists").wait(StreamName=at.stream, WaiterConfig={"Delay": 1})
    assert failed(function({"Records": records[1:]}, CALM)) == []
    assert [entry["auditId"] for entry in in_kinesis(at)] == ["id-1", "id-2"]


def test_an_invocation_without_time_answers_with_its_first_removal(embedded_aws: EmbeddedAws) -> None:
    at = Deployed(embedded_aws)
    records = [record(0, "INSERT"), record(1), record(2)]
    assert failed(at.audit({"Records": records}, Context(RESERVED_SECONDS - 1))) == ["1001"]
    assert in_kinesis(at) == []
