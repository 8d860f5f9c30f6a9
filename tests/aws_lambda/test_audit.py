"""The function behind the stream: the mapping's position moves only behind what every sink has."""

import json
from typing import Any

import pytest

from processor.aws_lambda.audit import RESERVED_SECONDS
from processor.localaws.embedded_aws import EmbeddedAws
from tests.audit.kcl_oracle import WHOLE, accepted
from tests.aws_lambda.functions import Deployed
from tests.aws_lambda.mapping import TTL_IDENTITY, Context, Record, failed

ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/export-status/stream/2026-11-22T00:00:00.000"
CALM = Context(RESERVED_SECONDS + 60)


def record(number: int, name: str = "REMOVE") -> Record:
    image = {"requestId": {"S": f"req-{number}"}, "status": {"S": "completed"}, "ttl": {"N": "1795342500"}}
    return {
        "eventID": f"id-{number}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795342541.0,
            "Keys": {"requestId": image["requestId"]},
            "OldImage": image,
            "SequenceNumber": f"{1_000 + number}",
            "SizeBytes": 100,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "userIdentity": dict(TTL_IDENTITY),
        "eventSourceARN": ARN,
    }


def in_kinesis(at: Deployed) -> list[Any]:
    iterator = at.kinesis.get_shard_iterator(
        StreamName=at.stream, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = at.kinesis.get_records(ShardIterator=iterator)["Records"]
    return [json.loads(data) for each in records for data in accepted(each["Data"], WHOLE)]


def test_removals_reach_every_sink_and_other_records_none(
    embedded_aws: EmbeddedAws, capsys: pytest.CaptureFixture[str]
) -> None:
    at = Deployed(embedded_aws)
    records = [record(0), record(1, "MODIFY"), record(2), record(3, "INSERT")]
    assert failed(at.audit({"Records": records}, CALM)) == []
    entries = in_kinesis(at)
    assert [entry["auditId"] for entry in entries] == ["id-0", "id-2"]
    assert entries[0] | {"source": {}} == {
        "schemaVersion": 1,
        "auditId": "id-0",
        "action": "export.expired",
        "requestId": "req-0",
        "lastStatus": "completed",
        "finished": True,
        "createdAt": None,
        "updatedAt": None,
        "expiresAt": "2026-11-22T10:15:00.000Z",
        "deletedAt": "2026-11-22T10:15:41.000Z",
        "deletionLagSeconds": 41,
        "fileName": None,
        "error": None,
        "hadSignedUrl": False,
        "actor": TTL_IDENTITY,
        "source": {},
    }
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
